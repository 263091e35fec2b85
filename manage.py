#!/usr/bin/env python
"""The door to every management command."""

import os
import sys


def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saeviz.settings")
    from django.core.management import execute_from_command_line
    from django.db import OperationalError, ProgrammingError

    from saeviz.env import InvalidSetting

    try:
        execute_from_command_line(sys.argv)
    except InvalidSetting as error:
        sys.exit(str(error))
    except (OperationalError, ProgrammingError) as error:
        if "no such table" in str(error) or "does not exist" in str(error) and isinstance(error, ProgrammingError):
            sys.exit("The database is not ready: tables are missing. Run `manage.py migrate` first, or `make run`.")
        if isinstance(error, ProgrammingError):
            raise
        if "unable to open database file" in str(error):
            from django.conf import settings

            file = settings.DATABASES["default"]["NAME"]
            sys.exit(f"Cannot use the database: {file} cannot be opened. Is its folder there, and may you write to it?")
        sys.exit(f"Cannot use the database: {str(error).strip()}\n`manage.py doctor` says what is wrong with it.")


if __name__ == "__main__":
    main()
