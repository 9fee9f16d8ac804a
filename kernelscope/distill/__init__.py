"""Training students; ends in a checkpoint."""
