"""``rescore.Model``: snapshot, fit, evaluate, package, predict, as the DAGs do it."""

from __future__ import annotations

import time
import weakref
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescore import model, pipeline
from rescore.errors import ModelError, NotFoundError, SpecError
from rescore.folder import ModelFolder
from rescore.interval import parse_moment
from rescore.manifest import Lineage
from rescore.notebook.connecting import Console, connect
from rescore.notebook.results import Compared, Evaluation, Fit, ModelPackage, PublishedRun, Snapshot
from rescore.pipeline import Context
from rescore.shown_text import number_of
from rescore.who import system_user

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Model"]

#: A moment as a person writes it: with a zone, or in the model's own.
Moment = str | datetime


class Model:
    """A model of the deployment, to be worked on in a notebook.

    It reads the model folder anew at each step, so an edited file counts from the next step on.
    Where no database is configured, the local Postgres runs for as long as this object lives.

    Parameters
    ----------
    name : str
        The model: the name of its folder.
    context : Context, optional
        Default: from the environment, as the command ``rescore`` has it.
    quiet : bool
        Whether to show no progress.

    Raises
    ------
    UnknownModelError, SpecError
        No such model, or its folder is wrong.
    LocalStackError, SettingsError
        No database can be reached.

    Examples
    --------
    >>> flights = rescore.Model("flight_delay")  # doctest: +SKIP
    >>> flights.snapshot("2013-01-01", "2013-04-01", as_of="2013-04-01T04:00")  # doctest: +SKIP
    >>> flights.fit(), flights.evaluate()  # doctest: +SKIP
    >>> package = flights.package()  # doctest: +SKIP
    """

    def __init__(self, name: str, *, context: Context | None = None, quiet: bool = False) -> None:
        self.name = name
        self._resources = ExitStack()
        weakref.finalize(self, self._resources.close)
        say = Console(quiet=quiet)
        self._ctx = (
            replace(context, progress=say) if context is not None else connect(self._resources, progress=say)
        )
        self._snapshot: Snapshot | None = None
        self._fitted: model.Fitted | None = None
        self._fit: Fit | None = None
        self._fitted_folder: ModelFolder | None = None
        self._package: model.Package | None = None
        self.folder  # noqa: B018 - a wrong name raises now

    @property
    def folder(self) -> ModelFolder:
        """The model folder as it is now."""
        return self._ctx.model(self.name)

    def snapshot(
        self, start: Moment | None = None, end: Moment | None = None, as_of: Moment | None = None
    ) -> Snapshot:
        """Freeze the training rows of a window; see :func:`rescore.pipeline.train_snapshot`.

        Parameters
        ----------
        start, end : str or datetime, optional
            Bounds of the window; default the last ``training.intervals`` whose labels are due. A
            moment without a zone is read in the schedule's.
        as_of : str or datetime, optional
            Labels known by then; default the last boundary of the schedule before now.
        """
        digest = pipeline.train_snapshot(
            self._ctx,
            self.name,
            as_of=self._moment(as_of, "as_of"),
            start=self._moment(start, "start"),
            end=self._moment(end, "end"),
        )
        self._snapshot = self._known_snapshot(digest)
        self._fitted = self._fit = self._package = None
        return self._snapshot

    def fit(self, *, hyperparameters: dict[str, Any] | None = None, seed: int | None = None) -> Fit:
        """Fit on the snapshot once, without registering anything.

        Parameters
        ----------
        hyperparameters : dict, optional
            Replace those of ``model.yaml``, to try them; :meth:`package` takes what the file says.
        seed : int, optional
            Replaces ``training.seed``.

        Raises
        ------
        ModelError
            The pipeline can't be built or fitted.
        """
        snapshot = self._snapshot or self.snapshot()
        folder = _with_training(self.folder, hyperparameters, seed)
        place = self._resources.enter_context(self._ctx.scratch_folder())
        started = time.monotonic()
        fitted = model.train(snapshot.path, folder, build_dir=place / "build", progress=self._ctx.progress)
        self._fitted, self._fitted_folder, self._package = fitted, folder, None
        self._fit = Fit(
            model=self.name,
            snapshot_digest=snapshot.digest,
            rows=fitted.rows,
            seed=folder.spec.training.seed,
            hyperparameters=dict(folder.spec.training.hyperparameters),
            metrics=fitted.metrics,
            seconds=time.monotonic() - started,
        )
        return self._fit

    def evaluate(self) -> Evaluation:
        """Metrics of the fit on the hold-out and over the folds, and what each feature adds."""
        fitted, _ = self._needs_fit("evaluate")
        return Evaluation(
            model=self.name,
            metrics=fitted.metrics,
            importance=fitted.importance,
            folds=fitted.evaluation["folds"],
        )

    def package(self) -> ModelPackage:
        """Train twice, compare the bytes and register the package, as ``train_<model>`` does.

        The bytes follow from the snapshot, the model folder and the environment alone: nothing that
        was tried in the notebook enters them.

        Raises
        ------
        SpecError
            The last fit had parameters that ``model.yaml`` does not have.
        ModelError
            The pipeline can't be fitted or packaged, or is not deterministic.
        """
        tried = self._fitted_folder.spec.training if self._fitted_folder is not None else None
        declared = self.folder.spec.training
        if tried is not None and tried != declared:
            raise SpecError(
                f"the last fit of {self.name} had other parameters than model.yaml",
                where=str(self.folder.path / "model.yaml") + ": training",
                expected=f"seed {tried.seed}, hyperparameters {tried.hyperparameters}",
                fix="write what you tried into model.yaml; or fit() again with what is in it",
            )
        snapshot = self._snapshot or self.snapshot()
        made = pipeline.train_package(self._ctx, self.name, snapshot.digest, who=system_user())
        registered = self._ctx.store.packages.find(self.name, made.sha256)
        path, self._package = self._opened(registered.sha256)
        return ModelPackage(
            model=self.name,
            version=registered.version,
            sha256=registered.sha256,
            path=path,
            manifest=registered.manifest,
        )

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Score a frame with what this notebook made last; if nothing, with the pinned package.

        Parameters
        ----------
        frame : DataFrame, shape (n_rows, at least the features)
            In any order, of any dtype that converts.

        Returns
        -------
        DataFrame
            ``score`` and, unless it is a regression, ``label``; the index is the frame's.

        Raises
        ------
        NotFoundError
            There is neither a fit, nor a package, nor a pin.
        ModelError, IntegrityError
            A feature is missing or of another type; the package does not prove itself.
        """
        import pyarrow.parquet as pq

        from rescore.model import Features, PackageError

        package = self._package or self._provisional() or self._pinned()
        try:
            rows = Features.from_json([one.to_dict() for one in package.manifest.features]).from_pandas(frame)
        except PackageError as error:
            raise ModelError(
                str(error).partition("\n")[0], where=f"the frame, for {self.name}", fix="correct the frame"
            ) from None
        with self._ctx.scratch_folder() as scratch:
            path = scratch / "frame.parquet"
            pq.write_table(rows, path)
            scores: pd.DataFrame = package.predict(path).to_pandas()
        scores.index = frame.index
        return scores

    def compare(
        self,
        challenger: str | ModelPackage,
        champion: str | ModelPackage | None = None,
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        as_of: Moment | None = None,
    ) -> Compared:
        """Compare two packages on the same frozen hold-out; see :func:`rescore.pipeline.compare_packages`.

        Parameters
        ----------
        challenger, champion : str or ModelPackage
            A version, a sha256 or what :meth:`package` gave; the champion's default is the pinned one.
        start, end, as_of : str or datetime, optional
            Another window than the challenger's own hold-out.
        """
        comparison = pipeline.compare_packages(
            self._ctx,
            self.name,
            challenger.sha256 if isinstance(challenger, ModelPackage) else challenger,
            champion.sha256 if isinstance(champion, ModelPackage) else champion,
            start=self._moment(start, "start"),
            end=self._moment(end, "end"),
            as_of=self._moment(as_of, "as_of"),
        )
        return Compared(comparison.comparison_id, comparison.report, comparison.markdown())

    def runs(self, last: int = 100) -> pd.DataFrame:
        """The last published runs, in order of their intervals: what scored them and with what verdict.

        Parameters
        ----------
        last : int
            At most so many.
        """
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "interval_start": run.interval.start,
                    "interval_end": run.interval.end,
                    "rows": run.rows_scored,
                    "package": run.package_version,
                    "verdict": run.verdict,
                    "run_id": run.run_id,
                }
                for run in self._ctx.store.runs.published(self.name, last=last)
            ]
        )

    def run(self, run_id: str | None = None) -> PublishedRun:
        """A past run with its frozen rows and its scores; default the last published one.

        Raises
        ------
        NotFoundError
            No such run, or it has no scores.
        """
        if run_id is None:
            published = self._ctx.store.runs.published(self.name, last=1)
            if not published:
                raise NotFoundError(
                    f"{self.name} has no published run", fix=f"`rescore score {self.name} --day DAY`"
                )
            run_id = published[-1].run_id
        run = self._ctx.store.runs.scored(run_id)
        if run.model != self.name:
            raise NotFoundError(
                f"run {run_id} is one of {run.model}",
                expected=f"a run of {self.name}",
                fix="runs() lists them",
            )
        return PublishedRun(
            model=self.name,
            run_id=run.run_id,
            interval=run.interval,
            package_version=run.package_version,
            score_digest=run.score_digest,
            inputs=self._ctx.kept_rows(run).to_pandas(),
            scores=self._ctx.store.scores.of_run(run).to_pandas(),
        )

    def close(self) -> None:
        """Let go of the database and of what was fitted; a garbage-collected model does so too."""
        self._resources.close()

    def __repr__(self) -> str:
        spec = self.folder.spec
        what = f"{spec.target.kind} {spec.target.name}, {number_of(len(spec.features), 'feature')}"
        return f"rescore.Model({self.name!r}): {what}"

    def _moment(self, given: Moment | None, name: str) -> datetime | None:
        if given is None:
            return None
        if isinstance(given, str):
            try:
                given = datetime.fromisoformat(given.strip())
            except ValueError:
                return parse_moment(given, name=name)  # says what is wrong with it
        if given.tzinfo is None:
            from zoneinfo import ZoneInfo

            given = given.replace(tzinfo=ZoneInfo(self.folder.spec.schedule.timezone))
        return parse_moment(given, name=name)

    def _known_snapshot(self, digest: str) -> Snapshot:
        stored = self._ctx.store.snapshots.of_model(self.name, kind="training", digest=digest)[0]
        return Snapshot(
            digest=stored.digest,
            model=self.name,
            window=stored.interval,
            as_of=stored.as_of,
            rows=stored.rows,
            details=dict(stored.details),
            path=self._ctx.archive.get_input(digest),
        )

    def _needs_fit(self, step: str) -> tuple[model.Fitted, ModelFolder]:
        if self._fitted is None or self._fitted_folder is None:
            raise NotFoundError(
                f"there is nothing to {step} yet", where=f"rescore.Model({self.name!r})", fix="call fit()"
            )
        return self._fitted, self._fitted_folder

    def _provisional(self) -> model.Package | None:
        """The last fit as a package that is registered nowhere: it scores as packages do."""
        if self._fitted is None or self._fitted_folder is None:
            return None
        destination = self._fitted.directory.parent / "provisional"
        built = model.build_package(
            self._fitted,
            self._fitted_folder,
            version=f"{self._fitted_folder.spec.version}.0",
            reference_profile=b"{}",
            lineage=Lineage(),
            destination=destination,
        )
        self._package = model.open_package(
            built.path, expected_sha256=built.sha256, cache=destination / "cache"
        )
        return self._package

    def _pinned(self) -> model.Package:
        pinned = self._ctx.store.pins.current(self.name)
        if pinned is None:
            raise NotFoundError(
                f"{self.name} has no fitted model, package or pin to predict with",
                expected="a fit, a package or a pin",
                fix="call fit() or package(), or pin a package",
            )
        return self._opened(pinned.sha256)[1]

    def _opened(self, sha256: str) -> tuple[Path, model.Package]:
        path = self._ctx.archive.get_package(sha256)
        package = model.open_package(
            path, expected_sha256=sha256, cache=self._ctx.cache, environments=self._ctx.environments
        )
        return path, package


def _with_training(
    folder: ModelFolder, hyperparameters: dict[str, Any] | None, seed: int | None
) -> ModelFolder:
    """The folder with other training parameters, checked as those of the file are."""
    changes: dict[str, Any] = {}
    if hyperparameters is not None:
        changes["hyperparameters"] = hyperparameters
    if seed is not None:
        changes["seed"] = seed
    if not changes:
        return folder
    training = folder.spec.training.model_validate(
        {**folder.spec.training.model_dump(by_alias=True), **changes}
    )
    return replace(folder, spec=folder.spec.model_copy(update={"training": training}))
