"""How one model is trained by several processes: data, sharded, tensor, pipeline and context parallel."""
