"""The sparse autoencoder in training: inputs, first weights, BatchTopK and its gradients, the objective, the help for
silent features."""
