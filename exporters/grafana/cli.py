"""The command `jizuo exporter dashboards`: writes Grafana's dashboards and provisioning files."""

from __future__ import annotations

from pathlib import Path

import click

from exporters.access import access_options, access_or_refuse


@click.command(
    "dashboards",
    epilog="""\b
Examples:
  jizuo exporter dashboards --out /tmp/grafana
  jizuo exporter dashboards --out /tmp/grafana --dry \\
      --prometheus-url 'https://[2001:db8:ff00::b]:9090' \\
      --ca /etc/grafana/jizuo-authority.pem \\
      --user operations --password-file /etc/grafana/jizuo-password

\b
Copy provisioning/ into /etc/grafana/ and dashboards/ into
/var/lib/grafana/dashboards/jizuo/.

\b
Exit codes: 0 nothing to change or all written, 2 with --dry and changes
pending, 1 failed.""",
)
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Where dashboards/ and provisioning/ go.",
)
@click.option(
    "--prometheus-url",
    default="http://localhost:9090",
    show_default=True,
    help="Where Grafana reaches Prometheus.",
)
@access_options("", "Prometheus's")
@click.option("--dry", is_flag=True, help="Say what would be written and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program.")
def dashboards(
    folder: Path, prometheus_url: str, ca: str, user: str, password_file: str, dry: bool, as_json: bool
) -> None:
    """Write dashboards for those who have a Grafana; the status page needs none."""
    from exporters.grafana.dashboards import dashboard_files
    from exporters.prometheus_cli import put_files

    files = dashboard_files(prometheus_url, access_or_refuse("", ca, user, password_file))
    put_files(folder, files, dry, as_json)
