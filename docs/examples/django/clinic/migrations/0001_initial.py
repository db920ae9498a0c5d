"""The table of observations."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Creates the table."""

    initial = True
    operations = (
        migrations.CreateModel(
            name="Observation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("patient_id", models.CharField(max_length=64)),
                ("status", models.CharField(max_length=20)),
                ("comment", models.TextField(default="")),
            ],
            options={"base_manager_name": "objects"},
        ),
    )
