"""What a package holds of the model folder: code and the files that it reads; declarations beside."""

from __future__ import annotations

from pathlib import Path

from rescore.model.code_tree import code_tree, sources_tree
from rescore.model.manifest_writer import code_digests
from tests.model.parcels import write_folder

BESIDE = {"levels.csv": "AA\nB6\n", "tables/rates.json": "{}", "README.md": "for people", ".hidden": "x"}
PIPELINE = "def build(hyperparameters, seed): ..."


def test_files_that_the_pipeline_reads_stand_beside_its_code_and_are_digested(tmp_path: Path) -> None:
    (tmp_path / "models" / "parcel_delay" / "tables").mkdir(parents=True)
    folder = write_folder(tmp_path, pipeline=PIPELINE, files=BESIDE)
    code, sources = code_tree(folder), sources_tree(folder)
    assert code["parcel_delay/levels.csv"] == b"AA\nB6\n"
    own = {name for name in code if "/_runtime/" not in name}
    assert own == {
        "parcel_delay/__init__.py",
        "parcel_delay/__main__.py",
        "parcel_delay/levels.csv",
        "parcel_delay/pipeline.py",
        "parcel_delay/tables/rates.json",
    }
    assert set(sources) == {
        f"parcel_delay/_sources/{name}"
        for name in ("expectations.py", "extract.sql", "labels.sql", "model.yaml")
    }
    before = code_digests({**code, **sources}, "parcel_delay")
    (folder.path / "levels.csv").write_text("AA\n")
    after = code_digests({**code_tree(folder), **sources_tree(folder)}, "parcel_delay")
    assert before["digest"] != after["digest"]
