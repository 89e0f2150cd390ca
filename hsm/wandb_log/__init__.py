"""Reader of the `.wandb` logs that Weights & Biases writes into run folders."""
