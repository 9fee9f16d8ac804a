"""The mathematics: arrays in, numbers out, independent of files and of networks."""
