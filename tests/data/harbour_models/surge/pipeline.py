"""A ridge regression: small, linear, deterministic."""

from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


def build(hyperparameters, seed):
    """Build the unfitted pipeline."""
    return make_pipeline(
        make_column_transformer(
            (SimpleImputer(), ["pressure", "moon"]),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["wind"]),
        ),
        Ridge(random_state=seed),
    )
