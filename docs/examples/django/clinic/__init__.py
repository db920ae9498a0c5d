"""A clinic's Django project. It records requests, sign-ins, and who reads and changes observations.

    pip install 'audit-trail-publisher[django]' psycopg2-binary
    python manage.py migrate
    python manage.py createsuperuser
    python manage.py runserver --noreload

DATABASE_NAME, DATABASE_USER, DATABASE_PASSWORD, DATABASE_HOST, DATABASE_PORT: its own database, of PostgreSQL.
AUDIT_URL: the API of Audit Trail. AUDIT_TOKEN_FILE: a file with a token that has the role publisher.
AUDIT_SPOOL: a folder on a local disk, for events on their way.
"""
