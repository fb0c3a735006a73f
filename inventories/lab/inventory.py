"""pyinfra's inventory of the lab: `pyinfra inventories/lab/inventory.py deploy/site.py`."""

from pathlib import Path

from deploy.pyinfra_inventory import pyinfra_groups

globals().update(pyinfra_groups(Path(__file__).parent))
