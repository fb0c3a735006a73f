"""An Ansible module: push a configuration to one router that is not Linux, from the controller, over netmiko."""

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]

DOCUMENTATION = """
module: jizuo_router
short_description: Bring a Huawei VRP or H3C Comware router to its configuration
description:
  - Reads the running configuration, sends the difference, keeps it only when a new connection reads it back.
options:
  request:
    description: A file of mode 0600 with the request (deploy.vendors.transaction.Request as JSON).
    type: path
    required: true
"""


def main() -> None:
    """Carry out the request; the outcome is returned without secrets."""
    module = AnsibleModule(argument_spec={"request": {"type": "path", "required": True}})
    # Found by PYTHONPATH, which the player sets; Ansible packs a module without the kit around it.
    from pathlib import Path

    import msgspec

    from deploy.vendors.transaction import Request, push

    request = msgspec.json.decode(Path(module.params["request"]).read_bytes(), type=Request)
    outcome = push(request)
    result = {"changed": outcome.state == "changed", "outcome": msgspec.to_builtins(outcome)}
    if outcome.state == "failed":
        module.fail_json(msg=outcome.problem, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
