"""Parts of ``wasserstein_classification.py``: tasks, training views, models, judging, figures."""
