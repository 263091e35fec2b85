#!/usr/bin/env python
"""The door to every management command."""

import os
import sys


def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saeviz.settings")
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    from saeviz.env import InvalidSetting

    try:
        execute_from_command_line(sys.argv)
    except InvalidSetting as error:
        sys.exit(str(error))
    except OperationalError as error:
        sys.exit(f"Cannot use the database: {str(error).strip()}\n`manage.py doctor` says what is wrong with it.")


if __name__ == "__main__":
    main()
