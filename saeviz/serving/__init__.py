"""How do requests reach the site? Read and answered without a thread each; only what is whole takes one."""
