"""A request's life: asked for, queued, cut into parts, computed by workers, shown."""
