"""How the demo bundle is made: a small language model and its sparse autoencoder, from a folder of text.

Numbers only: torch, numpy, tokenizers, safetensors. `manage.py make_demo` is the door; nothing else imports
this.
"""
