//! What streams both ways through the manager: input, terminals, commands in containers, files.

use std::process::Command;

use super::text;

/// Scripts with the docker command, and what they print.
const SCRIPTS: &[(&str, &str)] = &[
    // The input ends before the output; the exit code is the container's.
    ("printf 'b\\na\\n' | docker run --rm -i busybox sh -c 'sort; exit 5'; echo $?", "a\nb\n5\n"),
    ("head -c 5000000 /dev/zero | docker run --rm -i busybox wc -c", "5000000\n"),
    ("docker run --rm busybox sh -c 'echo out; echo err >&2' 2>/dev/null", "out\n"),
    (
        "script -qec \"docker run --rm -t busybox sh -c 'test -t 0 && echo terminal'\" /dev/null \
         | tr -d '\\r'",
        "terminal\n",
    ),
    ("docker run -d --name talk busybox sleep 1d | tr -d 0-9a-f", "\n"),
    ("docker exec talk sh -c 'echo here; exit 3'; echo $?", "here\n3\n"),
    ("echo in | docker exec -i talk cat", "in\n"),
    ("script -qec 'docker exec -t talk tty' /dev/null | tr -d '\\r'", "/dev/pts/0\n"),
    (
        "docker exec -d talk touch /made; until docker diff talk | grep made; do :; done",
        "A /made\n",
    ),
    (
        "folder=$(mktemp -d); echo content >$folder/a; docker cp -q $folder/a talk:/b; \
         docker exec talk cat /b; docker cp -q talk:/b $folder/c; cat $folder/c; rm -r $folder",
        "content\ncontent\n",
    ),
    ("docker export talk | tar t b", "b\n"),
    ("docker update --restart no talk", "talk\n"),
    ("docker stats --no-stream --format '{{.Name}}' talk", "talk\n"),
    (
        // This command does not wait for output once its input has ended.
        "docker run -d --name echo -i busybox sh -c 'read x; echo got $x' >/dev/null; \
         (echo word; sleep 1) | docker attach echo",
        "got word\n",
    ),
    (
        "docker tag busybox mine:1; \
         docker image inspect -f '{{.RepoTags}}' mine:1 | grep -c 'busybox:latest mine:1'",
        "1\n",
    ),
    ("docker save mine:1 | docker load | grep -c 'Loaded image: mine:1'", "3\n"),
    (
        "docker commit talk made:1 >/dev/null; \
         docker run --rm -e affinity:image==made:1 made:1 cat /b",
        "content\n",
    ),
    (
        "printf 'FROM busybox\\nRUN echo built >/x\\n' | \
         DOCKER_BUILDKIT=0 docker build -q -t built - >/dev/null; \
         docker run --rm -e affinity:image==built built cat /x",
        "built\n",
    ),
    (
        "docker export talk | docker import - flat:1 >/dev/null; docker run --rm flat:1 cat /b",
        "content\n",
    ),
    ("docker rmi mine:1 made:1 built flat:1 | grep -c '^Untagged: mine:1'", "3\n"),
    ("docker rm -f talk echo", "talk\necho\n"),
    (
        "docker network ls --filter name=bridge --format '{{.Name}}' | sort | head -n 1",
        "dockerhost01/bridge\n",
    ),
    (
        "docker network create -d bridge dockerhost02/inner >/dev/null; \
         docker network ls --filter name=inner --format '{{.Name}} {{.Driver}}'",
        "dockerhost02/inner bridge\n",
    ),
    (
        "docker run -d --name inmate --network inner busybox sleep 1d >/dev/null; \
         docker ps --filter name=inmate --format '{{.Names}}'",
        "dockerhost02/inmate\n",
    ),
    (
        "docker network disconnect inner inmate; \
         docker network inspect inner -f '{{.Containers}}'; \
         docker network connect inner inmate; \
         docker network inspect inner -f '{{range .Containers}}{{.Name}}{{end}}'",
        "map[]\ninmate\n",
    ),
    (
        "docker rm -f inmate; docker network rm inner; docker network ls -q --filter name=inner",
        "inmate\ninner\n",
    ),
    (
        "docker volume create dockerhost01/data; docker volume ls -q --filter name=data; \
         docker volume inspect -f '{{.Name}} {{.Driver}}' data",
        "data\ndockerhost01/data\ndata local\n",
    ),
    ("docker run --rm -v data:/d -e constraint:node==dockerhost01 busybox touch /d/x", ""),
    ("docker volume rm data; docker volume ls -q --filter name=data", "data\n"),
];

/// Runs them all, where `variables` points the docker command.
pub(super) fn work(variables: &str) {
    for (script, expected) in SCRIPTS {
        let script = format!("{variables}\n{script}");
        let output = Command::new("timeout").args(["60", "sh", "-c", &script]).output().unwrap();
        assert_eq!(text(&output.stdout), *expected, "{script}: {}", text(&output.stderr));
    }
}
