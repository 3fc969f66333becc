"""Adopting classifiers: whatever their classes are called, the score is the declared class's."""

from __future__ import annotations

import json
import pickle
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from rescore.errors import ModelError
from rescore.manifest import Lineage
from rescore.model import Package, adopt, build_package, find_saved, open_package
from rescore.model.environment import start_environment
from rescore.model.training import library_path, stage_folder
from tests.model.parcels import table, write_folder
from tests.shared.waiting import until

NUMBERS = {"distance": "numeric", "stops": "numeric"}


def adopted(home: Path, seed: int, classes: Any, kind: str = "binary", **target: Any) -> tuple[Any, Package]:
    """A classifier of ``classes`` by the quantiles of distance, and the package that it becomes."""
    path = home / "snapshot.parquet"
    pq.write_table(table(400, seed, kind=kind).drop_null(), path)  # a linear model takes no NaN
    rows = pq.read_table(path).select(list(NUMBERS)).to_pandas().astype("float64")
    cut = np.quantile(rows["distance"], np.linspace(0, 1, len(classes) + 1)[1:-1])
    estimator = LogisticRegression(max_iter=1000).fit(
        rows, np.asarray(classes)[np.searchsorted(cut, rows["distance"])]
    )
    joblib.dump(estimator, home / "model.joblib")
    folder = write_folder(home, features=NUMBERS, target={"kind": kind, **target}, pipeline=BUILD)
    fitted = adopt(find_saved(home / "model.joblib"), folder, lambda: [path], build_dir=home / "build")
    file = build_package(
        fitted, folder, version="1.0.0", reference_profile=b"{}", lineage=Lineage(), destination=home / "dist"
    )
    return estimator, open_package(file.path, expected_sha256=file.sha256, cache=home / "cache")


BUILD = """
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def build(hyperparameters, seed):
        return make_pipeline(SimpleImputer(), LogisticRegression(random_state=seed))
    """


def complete(home: Path, seed: int) -> Any:
    """Rows without a missing value, as a file and as a frame."""
    rows = table(300, seed + 1).select(list(NUMBERS)).drop_null()
    pq.write_table(rows, home / "rows.parquet")
    return rows.to_pandas().astype("float64")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("classes", "positive", "column"),
    [([False, True], True, 1), ([0, 1], True, 1), (["false", "true"], False, 0)],
    ids=["booleans", "numbers", "text, the other one is positive"],
)
def test_the_score_is_the_probability_of_the_declared_class(tmp_path, seed, classes, positive, column):
    estimator, package = adopted(tmp_path, seed, classes, positive=positive)
    frame = complete(tmp_path, seed)
    scores = package.predict(tmp_path / "rows.parquet")
    np.testing.assert_allclose(scores["score"], estimator.predict_proba(frame)[:, column], rtol=1e-12)
    assert set(scores["label"].to_pylist()) == {"false", "true"}
    package.verify()


@pytest.mark.slow
def test_several_classes_keep_their_names(tmp_path, seed):
    estimator, package = adopted(tmp_path, seed, ["on time", "never", "late", "early"], "multiclass")
    frame = complete(tmp_path, seed)
    scores = package.predict(tmp_path / "rows.parquet")
    assert scores["label"].to_pylist() == estimator.predict(frame).tolist()
    np.testing.assert_allclose(scores["score"], estimator.predict_proba(frame).max(axis=1), rtol=1e-12)


@pytest.mark.slow
def test_classes_that_are_not_the_labels_are_refused(tmp_path, seed):
    with pytest.raises(ModelError, match="knows the classes n, y") as caught:
        adopted(tmp_path, seed, ["n", "y"])
    assert "false, true" in caught.value.expected


class Named:
    """Pickles as a call of whatever a module has under a name, dotted or not (protocol 4)."""

    def __init__(self, module: str, name: str, *arguments: Any) -> None:
        self.module, self.name, self.arguments = module, name, arguments

    def write(self, path: Path) -> None:
        def text(value: str) -> bytes:
            return pickle.SHORT_BINUNICODE + bytes([len(value)]) + value.encode()

        given = pickle.dumps(self.arguments, protocol=4)[11:-1] if self.arguments else pickle.EMPTY_TUPLE
        called = text(self.module) + text(self.name) + pickle.STACK_GLOBAL + given + pickle.REDUCE
        path.write_bytes(pickle.PROTO + b"\x04" + called + pickle.STOP)


REFUSED = [
    ("sklearn", "os.system"),
    ("sklearn.base", "warnings.sys.modules"),
    ("sklearn.base", "warnings"),
    ("sklearn.utils.fixes", "platform"),
    ("sklearn.utils.parallel", "warnings.warn"),
    ("numpy", "save"),
    ("numpy", "fromfile"),
    ("numpy", "memmap"),
    ("numpy.f2py", "compile"),
    ("sklearn", "clone"),
    ("sklearn.utils", "shuffle"),
    ("parcel_delay.pipeline", "system"),
    ("parcel_delay.pipeline", "os.system"),
    ("functools", "partial.__new__"),
    ("builtins", "getattr"),
    ("builtins", "type"),
    ("sklearn.feature_selection._base", "_get_feature_importances"),
    ("sklearn.metrics._scorer", "make_scorer"),
    ("sklearn.metrics", "get_scorer"),
    ("sklearn.utils._mocking", "MockDataFrame"),
    ("sklearn.conftest", "SkipTest"),
    ("scipy.special", "test"),
    ("scipy.stats._continuous_distns", "norm_gen"),
    ("numpy._pytesttester", "PytestTester"),
    ("scipy._lib._testutils", "PytestTester"),
    ("numpy.lib._datasource", "Repository"),
    ("numpy", "vectorize"),
    ("parcel_delay", "predict"),
    ("parcel_delay._runtime.artifact", "load_artifact"),
    ("parcel_delay._runtime.reader", "read"),
    ("parcel_delay.__main__", "main"),
]


class Rebuilt:
    """Is pickled as a call, and a state that is given to what it returns."""

    def __init__(self, made: Any, arguments: tuple[Any, ...], state: Any = None) -> None:
        self.made, self.arguments, self.state = made, arguments, state

    def __reduce__(self) -> Any:
        return (self.made, self.arguments, *(() if self.state is None else (self.state,)))


LOAD_EACH = """
import json, sys
from pathlib import Path
from rescore.errors import RefusedTypeError
from rescore.model.child.unpickle import load_pickle
for file in sorted(Path(sys.argv[1]).glob("*.pkl")):
    try:
        load_pickle(file, model="parcel_delay", declared=[])
        print(json.dumps(["loaded", file.name]))
    except RefusedTypeError as error:
        print(json.dumps(error.data.get("types", error.what)))
"""


def ordinary() -> dict[str, Any]:
    """Fitted estimators that name more than estimators: masked results, checks of categories, functions."""
    rows = pd.DataFrame({"a": np.arange(40.0) % 7, "b": pd.Categorical(["x", "y"] * 20)})
    truth = np.arange(40) % 2
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=TimeSeriesSplit(2), scoring="roc_auc")
    shaped = make_pipeline(FunctionTransformer(np.nan_to_num), SelectKBest(f_classif, k=1), SGDClassifier())
    boosted = HistGradientBoostingClassifier(max_iter=2, categorical_features="from_dtype")
    return {
        "boosted": CalibratedClassifierCV(boosted, cv=2).fit(rows, truth),
        "search": search.fit(rows[["a"]], truth),
        "shaped": shaped.fit(rows[["a"]], truth),
    }


@pytest.mark.slow
def test_a_name_that_is_not_exactly_an_allowed_one_is_refused(tmp_path):
    """The root of the module says nothing about what a name in it leads to."""
    marker = tmp_path / "ran"
    for number, (module, name) in enumerate(REFUSED):
        Named(module, name, f"touch {marker}").write(tmp_path / f"{number:02d}.pkl")
    for name, estimator in ordinary().items():  # not by joblib, whose files name dill where dill is imported
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(estimator))
    pipeline = "import os\nfrom os import system\n" + textwrap.dedent(BUILD)
    # An array of objects whose memory is given: each would lie where the bytes say.
    buffered = b"cnumpy\nndarray\n(K\x01\x85X\x01\x00\x00\x00OC\x08" + b"A" * 8 + b"tR."
    (tmp_path / "zz.pkl").write_bytes(pickle.PROTO + b"\x03" + buffered)
    # The same by a type of records that says of itself that it holds no objects.
    fields = {"a": (np.dtype("O"), 0)}
    hidden = Rebuilt(np.dtype, ("V8", False, True), (3, "|", None, ("a",), fields, 8, 1, 0))
    for name, made in (("zza", np._core.numeric._frombuffer), ("zzb", np._core.multiarray.scalar)):  # type: ignore[attr-defined]
        given = (b"A" * 8, hidden, (1,), "C") if name == "zza" else (hidden, b"A" * 8)
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(Rebuilt(made, given)))
    stage_folder(write_folder(tmp_path, features=NUMBERS, pipeline=pipeline), tmp_path / "build")
    done = subprocess.run(
        [sys.executable, "-c", LOAD_EACH, str(tmp_path)],
        env=start_environment([tmp_path / "build" / "tree", *library_path()]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    refused = [[".".join(one)] for one in REFUSED]
    loaded = [["loaded", f"{name}.pkl"] for name in ordinary()]
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        *refused,
        *loaded,
        ["numpy.ndarray"],
        ["_frombuffer"],
        ["scalar"],
    ]
    assert not marker.exists()


CURIOUS = """
    import glob, os, socket, subprocess, sys
    from pathlib import Path
    from sklearn.base import BaseEstimator

    class Curious(BaseEstimator):
        def __setstate__(self, state):
            found = Path(state["found"])
            seen = []
            for name in glob.glob("/proc/[0-9]*/environ"):
                try:
                    seen.append(Path(name).read_bytes())
                except OSError:
                    pass
            try:
                socket.create_connection(("127.0.0.1", state["port"]), timeout=5)
                seen.append(b"connected")
            except OSError:
                pass
            subprocess.Popen(
                [sys.executable, "-c", "import sys\\nwhile True: open(sys.argv[1], 'a').write('x')",
                 str(found) + ".alive"],
                start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )
            while not Path(str(found) + ".alive").exists():
                os.sched_yield()
            found.write_bytes(b"|".join(seen))

    def build(hyperparameters, seed):
        return Curious()
    """


@pytest.mark.slow
def test_code_in_a_strangers_file_reaches_no_secret_no_network_and_does_not_outlive_the_command(
    tmp_path, seed, monkeypatch
):
    monkeypatch.setenv("RESCORE_DATABASE_URL", "postgresql://someone:a-secret@127.0.0.1/x")
    found = tmp_path / "found"
    folder = write_folder(tmp_path, features=NUMBERS, pipeline=CURIOUS)
    # The environment that the file could look into: that of a process which has the secret from its start.
    holder = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with socket.create_server(("127.0.0.1", 0)) as server, holder:
        state = {"found": str(found), "port": server.getsockname()[1]}
        file = tmp_path / "model.pkl"
        names = b"cparcel_delay.pipeline\nCurious\n)\x81"
        file.write_bytes(pickle.PROTO + b"\x02" + names + pickle.dumps(state, protocol=2)[2:-1] + b"b.")
        with pytest.raises(ModelError):  # it is not fitted
            adopt(find_saved(file), folder, Path, build_dir=tmp_path / "build")
        assert b"a-secret" in Path(f"/proc/{holder.pid}/environ").read_bytes()
        holder.communicate(b"\n")
    assert b"a-secret" not in found.read_bytes()
    assert b"connected" not in found.read_bytes()
    assert found.with_name("found.alive").stat().st_size > 0
    # Killed with the command; the kernel may still be clearing it away.
    until(
        lambda: not [pid for pid in psutil.pids() if str(found) in " ".join(command_line(pid))],
        "the end of what the file started",
    )


def command_line(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("bytearray(10 << 30)", "MemoryError"),
        ("[open('/dev/null') for _ in range(300)]", "Too many open files"),
    ],
)
def test_a_strangers_file_has_limits(tmp_path, seed, code, said):
    pipeline = f"""
    from sklearn.base import BaseEstimator

    class Greedy(BaseEstimator):
        def __setstate__(self, state):
            {code}

    def build(hyperparameters, seed):
        return Greedy()
    """
    folder = write_folder(tmp_path, features=NUMBERS, pipeline=pipeline)
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.PROTO + b"\x02cparcel_delay.pipeline\nGreedy\n)\x81}b.")
    with pytest.raises(ModelError, match=said):
        adopt(find_saved(file), folder, Path, build_dir=tmp_path / "build")
