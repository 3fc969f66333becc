"""The local Postgres: safe by default, keeps its data, leaves nothing behind, says what is wrong."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import psycopg2
import pytest

from rescore.errors import LocalStackError
from rescore.local import LocalPostgres, Process, postgres, postgres_binaries, supervisor
from rescore.local.identity import Identity, unprivileged, wrapped
from rescore.local.run_state import RunState
from tests.shared.waiting import until


def query(url: str, sql: str) -> object:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone() if cursor.description else None
    finally:
        connection.close()


def test_a_database_is_empty_utf8_in_code_point_order_and_utc(database_url: str) -> None:
    row = query(
        database_url,
        "select current_setting('server_encoding'), current_setting('timezone'), "
        "current_setting('data_checksums'), 'a' > 'B', upper('é'), "
        "(select count(*) from pg_tables where schemaname = 'public')",
    )
    assert row == ("UTF8", "UTC", "on", True, "É", 0)


def test_it_listens_on_loopback_alone_and_wants_the_password(postgres_server: LocalPostgres) -> None:
    row = query(
        postgres_server.url(),
        "select current_setting('listen_addresses'), current_setting('unix_socket_directories'), "
        "(select bool_and(auth_method = 'scram-sha-256') from pg_hba_file_rules)",
    )
    assert row == ("127.0.0.1", "", True)
    wrong = postgres_server.url().replace(postgres_server.password, "wrong")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(wrong)


def test_nobody_else_can_read_password_or_data(postgres_server: LocalPostgres) -> None:
    password_file = postgres_server.folder / "password"
    assert stat.S_IMODE(password_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(postgres_server.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(postgres_server.data.stat().st_mode) == 0o700


def test_a_restart_keeps_data_password_and_port_and_stop_leaves_no_process(server: LocalPostgres) -> None:
    url = server.start()
    query(url, "create table kept as select 42 as answer")
    main = server.process()
    assert main is not None
    family = [main, *main.descendants()]
    assert len(family) > 3
    server.stop()
    assert not [process for process in family if process.alive()]
    assert not server.running()
    assert server.start() == url
    assert query(url, "select answer from kept") == (42,)


def test_start_is_idempotent_and_a_second_handle_sees_the_server(server: LocalPostgres) -> None:
    url = server.start()
    other = LocalPostgres(server.home)
    assert other.running()
    assert other.start() == url
    assert other.process() == server.process()
    other.stop()
    assert not server.running()


def test_a_killed_server_whose_id_was_given_to_another_process_starts_again(server: LocalPostgres) -> None:
    url = server.start()
    query(url, "create table kept as select 42 as answer")
    main = server.process()
    assert main is not None
    family = main.descendants()
    main.send(9)
    main.wait(10)
    for process in family:
        process.wait(10)
    pid_file = server.data / "postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace(str(main.pid), str(os.getpid()), 1))
    assert not server.running()
    server.start()
    assert query(url, "select answer from kept") == (42,)


def test_a_tied_server_dies_with_its_parent_even_by_sigkill(home: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from rescore.local import LocalPostgres\n"
        f"LocalPostgres(Path({str(home)!r}), tied=True).start()\n"
        "print('up', flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "up\n"
    main = LocalPostgres(home).process()
    assert main is not None
    family = [main, *main.descendants()]
    parent.kill()
    parent.communicate()
    until(lambda: not any(process.alive() for process in family))


def test_a_taken_port_is_named_with_the_fix(server: LocalPostgres) -> None:
    server.start()
    server.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", server.port))
        other.listen()
        with pytest.raises(LocalStackError, match=f"port {server.port} .* is taken") as caught:
            server.start()
    assert f"rm {server.folder / 'port'}" in str(caught.value)
    server.start()


def test_a_full_disk_is_refused_before_anything_is_written(
    new_server: LocalPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_LEAST_FREE_BYTES", 1 << 60)
    with pytest.raises(LocalStackError, match="disk is nearly full"):
        new_server.start()
    assert not new_server.data.exists()


def test_a_failed_start_shows_the_servers_own_reason(server: LocalPostgres) -> None:
    server.start()
    server.stop()
    (server.data / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(LocalStackError) as caught:
        server.start()
    assert "initialized by PostgreSQL version 9.6" in str(caught.value)
    assert "PG_BIN" in str(caught.value)
    assert str(server.log) in str(caught.value)
    assert server.process() is None


def test_an_interrupted_first_start_is_begun_anew(new_server: LocalPostgres) -> None:
    leftover = new_server.folder / "data.partial" / "base"
    leftover.mkdir(parents=True)
    new_server.start()
    assert new_server.running()


def test_a_lost_password_file_is_an_error_with_the_fix(server: LocalPostgres) -> None:
    server.start()
    server.stop()
    (server.folder / "password").unlink()
    with pytest.raises(LocalStackError, match="no password file") as caught:
        server.url()
    assert "make clean" in str(caught.value)


def test_pg_bin_without_a_server_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    with pytest.raises(LocalStackError, match="incomplete") as caught:
        postgres_binaries()
    assert f"PG_BIN={tmp_path}" in str(caught.value)


def test_variables_of_the_caller_do_not_reach_the_server(
    server: LocalPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("PGOPTIONS", "-c broken")
    monkeypatch.setenv("LC_ALL", "xx_XX")
    server.start()
    assert server.running()


def test_the_server_never_runs_as_root(postgres_server: LocalPostgres) -> None:
    identity = unprivileged()
    assert identity.uid != 0
    seen = subprocess.run(wrapped(["id", "-u"], identity), capture_output=True, text=True, check=True)
    assert int(seen.stdout) == identity.uid
    assert postgres_server.data.stat().st_uid == identity.owner


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_without_namespaces_becomes_a_plain_user_and_takes_its_data_along(
    server: LocalPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.start()
    query(url, "create table kept as select 42 as answer")
    server.stop()
    nobody = Identity("user", 65_534, 65_534, 65_534)
    monkeypatch.setattr(postgres, "unprivileged", lambda: nobody)
    server.start()
    main = server.process()
    assert main is not None
    assert Path(f"/proc/{main.pid}").stat().st_uid == nobody.uid
    assert query(url, "select answer from kept") == (42,)
    server.stop()


def test_an_identity_that_can_not_be_taken_on_is_an_error_not_a_start_as_root() -> None:
    beyond = Identity("namespace", -1, -1, 0)
    done = subprocess.run(wrapped(["id", "-u"], beyond), capture_output=True, text=True, check=False)
    assert done.returncode == 97
    assert done.stdout == ""


def test_the_end_of_a_wait_is_not_taken_for_the_end_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """One wait lasts an hour; a server lives for months."""
    monkeypatch.setattr(supervisor, "_WAIT_SECONDS", 0.01)
    with subprocess.Popen(["sleep", "600"]) as child:
        server = Process.find(child.pid)
        assert server is not None
        with ThreadPoolExecutor(1) as pool:
            ended = pool.submit(supervisor.wait_for_the_end, server)
            try:
                assert wait([ended], timeout=0.1).not_done
            finally:
                child.kill()
            ended.result(timeout=10)


def test_a_reused_process_id_is_not_mistaken_for_the_process() -> None:
    me = Process.find(os.getpid())
    assert me is not None
    assert me.alive()
    assert not Process(me.pid, me.started - 1).alive()


def test_what_another_release_wrote_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    """After a pull `make down` ends the stack that the release before started."""
    file = tmp_path / "state.json"
    state = RunState.begin()
    state.write(file)
    raw = json.loads(file.read_text())
    raw["new"] = raw["supervisor"]["new"] = 1
    file.write_text(json.dumps(raw))
    assert RunState.read(file) == state
    assert state.alive()
