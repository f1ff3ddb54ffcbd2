import httpx

from tests.support.server import Service
from tests.support.users import PASSWORD, User, new_email


def test_a_user_signs_up_logs_in_and_works_with_a_task(service: Service) -> None:
    email = new_email()
    signup = httpx.post(
        f"{service.url}/api/auth/signup", json={"email": email, "password": PASSWORD, "name": "Ada"}, verify=False
    )
    assert signup.status_code == 201
    login = httpx.post(f"{service.url}/api/auth/login", json={"email": email, "password": PASSWORD}, verify=False)
    assert login.status_code == 200
    assert login.json()["user"] == signup.json()["user"]

    with User(service.url, login.json()) as ada:
        task = ada.create("buy milk")
        assert ada.list() == [task]
        assert ada.http.get(ada.path(task)).json() == task
        changed = ada.http.put(ada.path(task), json={"title": "buy bread"}).json()
        assert changed["title"] == "buy bread"
        assert ada.http.patch(f"{ada.path(task)}/complete").json()["completed"] is True
        assert ada.http.delete(ada.path(task)).status_code == 204
        assert ada.http.get(ada.path(task)).status_code == 404
        assert ada.list() == []
