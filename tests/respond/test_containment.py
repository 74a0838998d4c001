"""One action closes the permit of a signed case, and the incident says by which statement."""

import pytest

from safecase.assess import case_roster, restrictions, verify_case
from safecase.evidence import RosterBroken
from safecase.registry import Incident
from safecase.respond import PermitContainer, contain, open_desk, open_incident
from safecase.testing import StubEndpoint
from tests.serve.permitted import Clock, make_permitted, safe_answer

pytestmark = pytest.mark.respond


async def test_an_incident_stops_one_permit_and_narrows_another(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    clock = Clock()
    async with StubEndpoint(safe_answer) as stub:
        made = await make_permitted(tmp_path, model_name=stub.target(), clock=clock, contexts=("internal", "limited"))
    assert verify_case(made.case).holds
    with open_desk(made.case) as desk:
        incident = open_incident(
            desk, title="t", kinds=("misuse",), severity=3, by="watch", at=clock(), contexts=("limited",)
        )
        stop = PermitContainer(case=desk.case, key_file=made.key("watch"), now=clock)
        contain(desk, incident.id, action="stop", reason="it goes on", by="watch", at=clock(), container=stop)
        narrow = PermitContainer(case=desk.case, key_file=made.key("watch"), share=0.1, now=clock)
        contain(
            *(desk, incident.id),
            action="narrow",
            contexts=("internal",),
            reason="wider",
            by="watch",
            at=clock(),
            container=narrow,
        )
        stranger = PermitContainer(case=desk.case, key_file=made.key("root"), now=clock)
        with pytest.raises(RosterBroken, match="roster"):
            contain(desk, incident.id, action="stop", reason="no", by="x", at=clock(), container=stranger)

        found = {one.context: one for one in restrictions(desk.case, None, case_roster(desk.case), at=clock())}
        done = desk.registry.get(Incident, incident.id)
    assert verify_case(desk.case).holds
    # A revocation is of one decision and so closes every context of it; it stands in the file of the one named.
    assert (found["limited"].kind, found["internal"].kind, found["internal"].share) == ("revocation", "narrowing", 0.1)
    assert [one.restriction for one in done.containment] == [found["limited"].id, found["internal"].id]
    assert f"incident {incident.id}" in found["limited"].reason
