"""The use cases, by what a user does: what a DAG task, a command and a notebook call.

``scoring``, ``training``, ``packages``, ``monitoring``, ``compare``, ``reproduce``, ``retention``,
``erasure`` and ``audit`` hold one use case a file. Names load on first use, so that a readiness check does
not import what a training needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore.lazy_names import lazy_names

if TYPE_CHECKING:
    from rescore.pipeline.audit.bundle import (
        Exported,
        check_bundle,
        export_bundle,
    )
    from rescore.pipeline.audit.verify_history import (
        anchor_head,
        read_head,
        save_head,
        verify_history,
    )
    from rescore.pipeline.build_facts import code_revision
    from rescore.pipeline.compare.compare_packages import (
        compare_packages,
    )
    from rescore.pipeline.compare.retrain import (
        Retrained,
        retrain,
    )
    from rescore.pipeline.compare.shadow import (
        Shadowed,
        follow_shadows,
        shadows_of,
    )
    from rescore.pipeline.context import (
        Context,
        utc_now,
    )
    from rescore.pipeline.doctor import (
        Finding,
        examine,
    )
    from rescore.pipeline.due_times import (
        declare_timetable,
    )
    from rescore.pipeline.erasure.access import (
        Kept,
        show_subject,
    )
    from rescore.pipeline.erasure.counterfactual import (
        Counterfactual,
        train_without,
    )
    from rescore.pipeline.erasure.erase import (
        ErasureReport,
        erase_subject,
    )
    from rescore.pipeline.monitoring.monitor import (
        MonitorReport,
        monitor_model,
        unmeasured_report,
    )
    from rescore.pipeline.monitoring.performance import (
        MeasuredRun,
        latest_performance,
        measure_due,
        measure_run,
        performance_by_run,
        performance_by_week,
    )
    from rescore.pipeline.monitoring.standing_alarms import (
        Incident,
        standing_alarms,
    )
    from rescore.pipeline.monitoring.status import (
        status_rows,
    )
    from rescore.pipeline.monitoring.status_check import (
        Alarm,
        alarms,
    )
    from rescore.pipeline.packages.environments import (
        build_environments,
    )
    from rescore.pipeline.packages.pinning import (
        pin,
        pin_evidence,
        refuse_own_approval,
    )
    from rescore.pipeline.packages.signing import (
        sign_package,
        verify_package,
    )
    from rescore.pipeline.packages.versions import (
        package_rows,
    )
    from rescore.pipeline.packages.withdrawing import (
        withdraw_package,
    )
    from rescore.pipeline.reproduce.runs import (
        Difference,
        Reproduction,
        published_run_ids,
        reproduce_run,
    )
    from rescore.pipeline.reproduce.single_scores import (
        PackageReproduction,
        ScoreReproduction,
        reproduce_package,
        reproduce_score,
    )
    from rescore.pipeline.reproduce.trainings import (
        TrainingReproduction,
        retrain_package,
    )
    from rescore.pipeline.retention.sweep import (
        Swept,
        sweep,
    )
    from rescore.pipeline.scoring.backfill import (
        Backfilled,
        backfill,
        without_scores,
    )
    from rescore.pipeline.scoring.lineage import (
        RunLineage,
        run_lineage,
    )
    from rescore.pipeline.scoring.publishing import (
        Published,
        publish_run,
        release_run,
    )
    from rescore.pipeline.scoring.readiness import (
        is_ready,
    )
    from rescore.pipeline.scoring.registration import (
        register_model,
    )
    from rescore.pipeline.scoring.scores_at_hand import (
        ScoresAtHand,
    )
    from rescore.pipeline.scoring.shards import (
        ShardHandle,
        join_shards,
        score_shard,
    )
    from rescore.pipeline.scoring.stages import (
        begin_extract,
        drift_run,
        score_interval,
        score_run,
        split_run,
        validate_run,
    )
    from rescore.pipeline.training.adopt import (
        AdoptedPackage,
        adopt_model,
    )
    from rescore.pipeline.training.frozen_inputs import (
        history,
        rewritten,
    )
    from rescore.pipeline.training.lineage import (
        TrainingLineage,
        training_lineage,
    )
    from rescore.pipeline.training.retraining import (
        Retraining,
        ask_for_retraining,
        when_due,
    )
    from rescore.pipeline.training.train import (
        TrainedPackage,
        train_model,
        train_package,
    )
    from rescore.pipeline.training.training_rows import (
        KeptRows,
        features_without_value,
        keep_rows,
        train_snapshot,
    )
    from rescore.pipeline.training.window import (
        training_window,
    )

__all__ = [
    "AdoptedPackage",
    "Alarm",
    "Backfilled",
    "Context",
    "Counterfactual",
    "Difference",
    "ErasureReport",
    "Exported",
    "Finding",
    "Incident",
    "Kept",
    "KeptRows",
    "MeasuredRun",
    "MonitorReport",
    "PackageReproduction",
    "Published",
    "Reproduction",
    "Retrained",
    "Retraining",
    "RunLineage",
    "ScoreReproduction",
    "ScoresAtHand",
    "Shadowed",
    "ShardHandle",
    "Swept",
    "TrainedPackage",
    "TrainingLineage",
    "TrainingReproduction",
    "adopt_model",
    "alarms",
    "anchor_head",
    "ask_for_retraining",
    "backfill",
    "begin_extract",
    "build_environments",
    "check_bundle",
    "code_revision",
    "compare_packages",
    "declare_timetable",
    "drift_run",
    "erase_subject",
    "examine",
    "export_bundle",
    "features_without_value",
    "follow_shadows",
    "history",
    "is_ready",
    "join_shards",
    "keep_rows",
    "latest_performance",
    "measure_due",
    "measure_run",
    "monitor_model",
    "package_rows",
    "performance_by_run",
    "performance_by_week",
    "pin",
    "pin_evidence",
    "publish_run",
    "published_run_ids",
    "read_head",
    "refuse_own_approval",
    "register_model",
    "release_run",
    "reproduce_package",
    "reproduce_run",
    "reproduce_score",
    "retrain",
    "retrain_package",
    "rewritten",
    "run_lineage",
    "save_head",
    "score_interval",
    "score_run",
    "score_shard",
    "shadows_of",
    "show_subject",
    "sign_package",
    "split_run",
    "standing_alarms",
    "status_rows",
    "sweep",
    "train_model",
    "train_package",
    "train_snapshot",
    "train_without",
    "training_lineage",
    "training_window",
    "unmeasured_report",
    "utc_now",
    "validate_run",
    "verify_history",
    "verify_package",
    "when_due",
    "withdraw_package",
    "without_scores",
]

if not TYPE_CHECKING:  # or each name that is misspelt would be one for it
    __getattr__ = lazy_names(__name__, __file__)
