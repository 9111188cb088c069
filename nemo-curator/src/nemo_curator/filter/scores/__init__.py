"""The numbers that rules look at, in families that are computed together."""
