"""Documents put in another order, proportion or grouping, with every column kept."""
