"""The megatron implementation: megatron.core's GPTModel built from our ModelConfig through public specs.

Nothing here is imported until a command asks for ``implementation=megatron``; the extra ``[megatron]`` brings the
library.
"""
