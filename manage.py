#!/usr/bin/env python
"""The door to every management command."""

import os
import sys


def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saeviz.settings")
    from django.core.management import execute_from_command_line

    from saeviz.env import InvalidSetting

    try:
        execute_from_command_line(sys.argv)
    except InvalidSetting as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
