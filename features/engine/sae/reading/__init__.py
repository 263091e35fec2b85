"""What every layout needs: files read safely, checks, questions, one affine map in the end."""
