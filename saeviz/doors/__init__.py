"""Who is let in, and as whom: the proxy in front, refused forms, log-in, and what pages may load."""
