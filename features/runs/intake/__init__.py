"""From files to moments of a run: what lies in a folder or is uploaded, of which run and step it is, on which rows."""
