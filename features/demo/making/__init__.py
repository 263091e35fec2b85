"""How the demo bundle is made: a small language model and its sparse autoencoder, from a folder of text.

Numbers only. Read, packed and measured by the engine; here stands what training adds. `manage.py make_demo` and
`manage.py measure_demo` are the doors.
"""
