"""Django's command line for the example: ``python manage.py migrate``, ``python manage.py runserver --noreload``."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clinic.settings")
execute_from_command_line(sys.argv)
