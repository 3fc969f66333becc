"""What scores rows: copied as it is into every package as ``<model>._runtime``.

It needs numpy, pandas, pyarrow, scikit-learn, skops and threadpoolctl, and neither Rescore nor
Airflow, so that a package proves its scores to somebody who has only the package. Training scores
its hold-out with these very modules. They import each other relatively and nothing of Rescore.
"""
