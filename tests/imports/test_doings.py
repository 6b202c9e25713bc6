"""Notes, calls, meetings and tasks out of files: about what they name, each once."""

from tests.imports.conftest import Importer

_RECORDS = {
    "companies": "external_id,name\nA-1,Acme\n",
    "contacts": "external_id,name,email,company\nC-1,Ada,ada@acme.example,Acme\n",
    "deals": "external_id,title,stage,created_at\nD-1,400 seats,Qualification,2026-01-05\n",
}


async def test_come_in_about_what_they_name_each_once(importer: Importer) -> None:
    owner = importer.account
    stage = (await owner.read("/v1/pipelines"))["items"][0]["stages"][0]["name"]
    files = {
        **{name: text.replace("Qualification", stage) for name, text in _RECORDS.items()},
        "notes": (
            "body,took_place_at,author_email,contact_email\n"
            f'"Likes tea, and ""quotes""",2026-02-01 10:00,{owner.email},ada@acme.example\n'
            "No date,,,\n"
        ),
        "activities": (
            "external_id,kind,subject,duration_seconds,direction,took_place_at,deal_external_id,company\n"
            "X-1,Call,First call,420,OUT,2026-02-02T09:30:00Z,D-1,Acme\n"
            "X-2,party,?,,,,,\n"
            "X-3,meeting,In Berlin,,,2026-02-03,D-404,\n"
            "X-4,meeting,To come,,,2100-01-01,,\n"
        ),
        "tasks": (
            "external_id,title,due_at,completed_at,assignee_email,deal_external_id\n"
            f"T-1,Send the offer,2099-03-01,,{owner.email},D-1\n"
            "T-2,Call back,2026-02-10,2026-02-11T08:00:00Z,,D-1\n"
        ),
    }
    done = await importer.run(files)
    counts = {name: (one["created"], one["failed"]) for name, one in done["progress"].items()}
    assert {name: counts[name] for name in ("notes", "activities", "tasks")} == {
        "notes": (2, 0), "activities": (1, 3), "tasks": (2, 0),
    }  # fmt: skip
    errors = await importer.errors(done["id"])
    for words in ("There is no such kind of activity.", "There is no such deal.", "The moment lies in the future."):
        assert words in errors
    [contact] = (await owner.read("/v1/contacts"))["items"]
    [deal] = (await owner.read("/v1/deals"))["items"]
    notes = {one["body"]: one for one in (await owner.read("/v1/notes"))["items"]}
    tea = notes['Likes tea, and "quotes"']
    assert (tea["contact_id"], tea["author_id"]) == (contact["id"], str(owner.user_id))
    [call] = (await owner.read("/v1/activities"))["items"]
    assert (call["kind"], call["direction"], call["duration_seconds"], call["deal_id"], call["company_id"]) == (
        "call", "out", 420, deal["id"], contact["company_id"],
    )  # fmt: skip
    assert call["took_place_at"] == "2026-02-02T09:30:00Z"
    tasks = {one["title"]: one for one in (await owner.read("/v1/tasks"))["items"]}
    assert tasks["Call back"]["completed_at"] == "2026-02-11T08:00:00Z"
    assert (tasks["Send the offer"]["completed_at"], tasks["Send the offer"]["assignee_id"]) == (
        None,
        str(owner.user_id),
    )
    timeline = (await owner.read(f"/v1/deals/{deal['id']}/timeline", params={"kind": ["call", "task"]}))["items"]
    assert sorted(item["kind"] for item in timeline) == ["call", "task", "task"]

    again = {name: files[name] for name in ("notes", "activities", "tasks")}
    again["activities"] = again["activities"].replace("First call", "The first call").replace("X-2,party,?,,,,,\n", "")
    again["tasks"] = again["tasks"].replace("2099-03-01,,", "2099-03-01,2026-03-02,")
    more = await importer.run(again)
    again_counts = {name: (one["created"], one["updated"], one["unchanged"]) for name, one in more["progress"].items()}
    assert again_counts == {"notes": (0, 0, 2), "activities": (0, 1, 0), "tasks": (0, 1, 1)}
    [call] = (await owner.read("/v1/activities"))["items"]
    assert call["subject"] == "The first call"


async def test_what_lies_in_the_bin_does_not_come_back(importer: Importer) -> None:
    owner = importer.account
    files = {"notes": "external_id,body\nN-1,Said\n", "tasks": "title\nCall\n"}
    await importer.run(files)
    for path in ("/v1/notes", "/v1/tasks"):
        [one] = (await owner.read(path))["items"]
        assert (await owner.delete(f"{path}/{one['id']}")).status_code == 204
    again = await importer.run(files)
    assert {name: one["unchanged"] for name, one in again["progress"].items()} == {"notes": 1, "tasks": 1}
    assert [(await owner.read(path))["items"] for path in ("/v1/notes", "/v1/tasks")] == [[], []]
