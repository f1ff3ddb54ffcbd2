"""Page, poll, write and retry: python client.py BASE_URL USER_ID ACCESS_TOKEN."""

import sys
import uuid

import httpx


def main(base: str, me: str, token: str) -> None:
    tasks = f"/api/{me}/tasks"
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}) as api:
        page = api.get(tasks, params={"limit": 50})  # newest first
        while "next" in page.links:  # keyset pages: nothing is skipped or shown twice
            page = api.get(page.links["next"]["url"])
        again = api.get(page.url, headers={"If-None-Match": page.headers["ETag"]})  # 304: nothing new, nothing sent
        key = {"Idempotency-Key": str(uuid.uuid4())}
        new = [api.post(tasks, json={"title": "buy milk"}, headers=key) for _ in range(2)]  # retried: still one task
        seen = {"If-Match": new[0].headers["ETag"]}
        mine = api.patch(new[1].headers["Location"], json={"completed": True}, headers=seen)  # 200
        late = api.patch(new[1].headers["Location"], json={"title": "late"}, headers=seen)  # 412: it has changed
        print(again.status_code, new[0].json() == new[1].json(), mine.status_code, late.status_code)


if __name__ == "__main__":
    main(*sys.argv[1:])
