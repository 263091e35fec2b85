"""How the site is seen from outside: logs, errors with a number, health, metrics, and what `manage.py doctor` finds."""
