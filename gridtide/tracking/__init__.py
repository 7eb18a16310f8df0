"""Training sets in trackers of experiments: MLflow and Weights & Biases.

    features/<name>/ ─► TrackedSet ─┬─► mlflow_runs   a run of MLflow, with the set as its dataset
                                   └─► wandb_runs    a run of W&B, with the set as its artifact

A training run refers to the same dataset by its name and fingerprint, so the tracker shows what each model was
trained on.
"""
