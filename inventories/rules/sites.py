"""Do the sites make the five-level tree: each in a known division, each below the right parent?"""

from __future__ import annotations

from inventories.problems import with_article
from inventories.records import Level, Site, SiteRole
from inventories.rules.divisions import LEVEL_OF, ancestors
from inventories.sources import Draft

#: The levels that the parent of an access site may have. Villages of the functional zones stand
#: directly below a county-level site: there is no township between.
_PARENT_LEVELS = {
    Level.COUNTY: (),
    Level.TOWNSHIP: (Level.COUNTY,),
    Level.VILLAGE: (Level.TOWNSHIP, Level.COUNTY),
}


def check(draft: Draft) -> None:
    """Notes sites whose division, level or parent does not fit."""
    if draft.sites.readable and not draft.sites.broken and draft.nodes.readable:
        _check_core(draft)
    for key, site in draft.sites.records.items():
        if not draft.divisions.knows(site.division):
            place = (draft.sites, key, "division")
            draft.report_unknown(
                place, "division", site.division, draft.divisions.records, "add it to divisions.csv"
            )
        if site.role is SiteRole.ACCESS:
            _check_access(draft, key, site)
        else:
            _check_city_site(draft, key, site)


def _check_core(draft: Draft) -> None:
    if not any(site.role is SiteRole.CORE for site in draft.sites.records.values()):
        what = "no site has the role core, so that nothing can be reached"
        draft.report(draft.sites, "", "role", what, "add a core site for each plane")
    # The border keeps track of connections: with two of them an answer could come back by the other one.
    _, *more = [key for key, site in draft.sites.records.items() if site.role is SiteRole.BORDER] or [""]
    for key in more:
        draft.report(
            draft.sites, key, "role", "there is a second border site", "keep one: it tracks connections"
        )
    if draft.layout is not None and draft.layout.internet is None:
        for key, site in draft.sites.records.items():
            if site.role is SiteRole.BORDER:
                what = f"border site {key} leads to the internet, and city.toml says nothing of it"
                draft.report(draft.sites, key, "role", what, "add [internet] with ipv4 and ipv6 to city.toml")


def _check_access(draft: Draft, key: str, site: Site) -> None:
    report = draft.report
    if site.id != site.division and draft.divisions.knows(site.division):
        what = f"the access site of division {site.division} has another id"
        report(
            draft.sites, key, "id", what, f"write {site.division}: an access site's id is its division's code"
        )
    if site.level not in _PARENT_LEVELS:
        fix = "write county, township or village; a site of the city itself has another role"
        report(draft.sites, key, "level", f"an access site cannot be of level {site.level}", fix)
        return
    if draft.divisions.knows(site.division):
        _check_level(draft, key, site, LEVEL_OF[len(site.division)])
        city = draft.city_division
        if city and city not in ancestors(site.division):
            what = f"division {site.division} is not below the city {city}"
            report(draft.sites, key, "division", what, "remove the site, or change division in city.toml")
    _check_parent(draft, key, site)


def _check_level(draft: Draft, key: str, site: Site, division_level: Level) -> None:
    is_zone = site.level is Level.COUNTY and division_level is Level.TOWNSHIP
    if site.level is not division_level and not is_zone:
        what = f"level is {site.level}, but division {site.division} is a {division_level}"
        fix = f"write {division_level}"
        if division_level is Level.TOWNSHIP:
            fix += ", or county if it is a functional zone of county rank"
        draft.report(draft.sites, key, "level", what, fix)


def _check_parent(draft: Draft, key: str, site: Site) -> None:
    levels = _PARENT_LEVELS[site.level]
    if not levels:
        if site.parent:
            draft.report(draft.sites, key, "parent", "a county-level site has no parent", "leave it empty")
        return
    above = ancestors(site.division)
    likely = next((code for code in above if code in draft.sites.records), "")
    wanted = " or ".join(levels)
    if not site.parent:
        what = f"{site.level} site {key} is an orphan: it has no parent"
        draft.report(draft.sites, key, "parent", what, f"write {likely or f'the id of its {wanted} site'}")
        return
    parent = draft.sites.records.get(site.parent)
    if parent is None:
        if not draft.sites.knows(site.parent):
            place = (draft.sites, key, "parent")
            fix = f"add the row of {site.parent}"
            draft.report_unknown(place, "site", site.parent, [likely] if likely else draft.sites.records, fix)
    elif parent.role is not SiteRole.ACCESS or parent.level not in levels:
        what = f"parent {site.parent} is {with_article(parent.role)} site of level {parent.level}"
        fix = f"write {likely}" if likely else f"a {site.level} stands below a {wanted}"
        draft.report(draft.sites, key, "parent", what, fix)
    elif parent.division not in above:
        what = f"parent {site.parent} is not above division {site.division}"
        draft.report(draft.sites, key, "parent", what, f"write {likely or 'the site of a division above it'}")


def _check_city_site(draft: Draft, key: str, site: Site) -> None:
    level = Level.PROVINCE if site.role is SiteRole.PROVINCE else Level.CITY
    if site.level is not level:
        what = f"{with_article(site.role)} site is of level {site.level}"
        draft.report(draft.sites, key, "level", what, f"write {level}: it serves the whole city")
    if site.parent:
        what = f"{with_article(site.role)} site has no parent"
        draft.report(draft.sites, key, "parent", what, "leave it empty: it is a site of the city itself")
    city = draft.city_division
    if draft.layout is None or not city or not draft.divisions.knows(site.division):
        return
    if site.role is SiteRole.PROVINCE:
        _check_province(draft, key, site, city)
    elif site.role is not SiteRole.OFFSITE:
        if site.division != city:
            what = f"{with_article(site.role)} site stands in division {site.division}"
            draft.report(draft.sites, key, "division", what, f"write {city}, the city's own")
    elif site.division == city or city in ancestors(site.division):
        what = f"the off-site site stands in the city {city} itself"
        fix = "write another prefecture city's division, with its prefixes in [partners] of city.toml"
        draft.report(draft.sites, key, "division", what, fix)
    elif site.division in ancestors(city):
        what = f"the off-site site stands in {site.division}, the province of the city"
        fix = "write another prefecture city's division, with its prefixes in [partners] of city.toml"
        draft.report(draft.sites, key, "division", what, fix)
    else:
        _check_partner(draft, key, site)


def _check_partner(draft: Draft, key: str, site: Site) -> None:
    if draft.layout is not None and site.division not in draft.layout.partners:
        place = (draft.sites, key, "division")
        fix = f"add [partners.{site.division}] to city.toml"
        draft.report_unknown(place, "partner", site.division, draft.layout.partners, fix)


def _check_province(draft: Draft, key: str, site: Site, city: str) -> None:
    if site.division not in ancestors(city):
        what = f"the province's site stands in division {site.division}"
        draft.report(draft.sites, key, "division", what, f"write {city[:2]}, the province of the city")
        return
    _check_partner(draft, key, site)
    partner = draft.layout.partners.get(site.division) if draft.layout is not None else None
    if partner is not None and not partner.asn:
        what = f"the province's router at {key} has no AS number"
        fix = f"add asn to [partners.{site.division}] in city.toml: the province gives it"
        draft.report(draft.sites, key, "division", what, fix)
