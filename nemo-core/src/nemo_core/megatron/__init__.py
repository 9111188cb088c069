"""The megatron implementation: megatron.core's GPTModel built from our ModelConfig through public specs.

Nothing here but the mapping of names is imported until a command asks for ``implementation=megatron``; the extra
``[megatron]`` brings the library.
"""

import warnings

# It warns at import that Apex and Transformer Engine are absent; what needs them is refused by name here.
warnings.filterwarnings("ignore", module=r"megatron\.core")
