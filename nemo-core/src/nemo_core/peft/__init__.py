"""Parameter-efficient fine-tuning: a frozen model, and adapters that are trained in its place.

`places` are where an adapter can sit in a model, `methods` the kinds there are (one module each, the same names in
every one), `adapter` puts them on a model and chooses among them, `merge` adds them into the weights, `folder` writes
and reads the folders of the peft library.
"""
