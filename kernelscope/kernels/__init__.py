"""The mathematics: arrays in, numbers out. Knows no file and no network."""
