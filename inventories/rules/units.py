"""Do units answer for parts of the extranet that exist, and each part to one unit?"""

from __future__ import annotations

from inventories.sources import Draft


def check(draft: Draft) -> None:
    """Notes divisions that are unknown, and those that two units answer for."""
    holders: dict[str, str] = {}
    for key, unit in draft.units.records.items():
        code = unit.network_of
        if not code:
            continue
        if not draft.divisions.knows(code):
            place = (draft.units, key, "network_of")
            draft.report_unknown(
                place, "division", code, draft.divisions.records, "add it to divisions.csv, or leave it empty"
            )
        holder = holders.setdefault(code, key)
        if holder != key:
            what = f"network_of is {code}, for which {holder} answers"
            draft.report(
                draft.units, key, "network_of", what, "name one unit a division, and leave it empty here"
            )
