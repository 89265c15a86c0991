#!/usr/bin/env python3
"""Writes image archives for the podman tests: no network, no root, any owner (an archive may claim what it likes).

    image.py archive OUT.tar [high] [symlink] [fifo] [records]
        always   busybox, /etc/passwd, and /data with files of 0 and 1500
        high     and files of 60000, 1000000, 1185200044, a directory of 60000, a set-uid program of 60000
        symlink, fifo   and such a thing, of 60000
        records  in the form that podman can unpack as it is: every id above the pool is written as its hash
                 slot, and the true id as extended attributes user.usernetes.uid and .gid of the entry
    image.py docker OUT.tar [foreign] [N]   what `podman load` reads: one layer with busybox, N small files of root's, and
        foreign  for each of the owners that made people ask for help a directory, a file, a second name of it, a
                 symbolic link, a fifo and a set-uid program
    image.py headers SAVED.tar LAYER    what a layer (-1: the last) says of the things in /owned, sorted
    image.py exported TAR               the same of a plain archive, as `podman export` writes it
    image.py oci OUT_DIR BASE.tar N     an OCI layout: BASE and N one-file layers above it
    image.py owners SAVED.tar           what `podman save` wrote: "layer name uid:gid mode attributes" of each entry
"""
import hashlib
import io
import json
import os
import sys
import tarfile

APPLETS = ("sh cat chmod chown cp echo env false find grep id ln ls mkdir mkfifo mv readlink rm rmdir sleep sort "
           "stat su test touch true umask wc").split()
HIGH = (60000, 1000000, 1185200044)
POOL_END = 2001
FOREIGN = ((0, 42), (1500, 1500), (60000, 60000), (119525, 9030), (172761424, 0), (445605, 89939),
           (1000650000, 1000650000), (1185200044, 1185200044))


def slot(true_id):
    """The hash rule on the disk, for the ids used here."""
    value = 2166136261
    for byte in str(true_id).encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return 1 + value % 1999


class Archive:
    def __init__(self, path, records):
        self.tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)
        self.records = records

    def add(self, name, data=None, owner=0, mode=0o644, kind=tarfile.REGTYPE, link="", group=None):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.linkname, entry.mtime = kind, mode, link, 1_000_000_000
        entry.uid, entry.gid = owner, owner if group is None else group
        if self.records and owner > POOL_END:
            entry.uid = entry.gid = slot(owner)
            if kind in (tarfile.REGTYPE, tarfile.DIRTYPE):
                entry.pax_headers = {"SCHILY.xattr.user.usernetes." + k: str(owner) for k in ("uid", "gid")}
        if data is not None:
            entry.size = len(data)
        self.tar.addfile(entry, io.BytesIO(data) if data is not None else None)

    def directory(self, name, owner=0, mode=0o755):
        self.add(name, owner=owner, mode=mode, kind=tarfile.DIRTYPE)


def archive(path, content):
    out = Archive(path, "records" in content)
    out.directory(".")
    for name in "bin etc proc sys dev data".split():
        out.directory("./" + name)
    out.directory("./tmp", mode=0o1777)
    with open("/bin/busybox", "rb") as f:
        out.add("./bin/busybox", f.read(), mode=0o755)
    for applet in APPLETS:                     # hard links: a symbolic link would be an object of its own to unpack
        out.add("./bin/" + applet, mode=0o755, kind=tarfile.LNKTYPE, link="./bin/busybox")
    out.add("./etc/passwd", b"root:x:0:0::/:/bin/sh\nmid:x:1500:1500::/:/bin/sh\n")
    out.add("./etc/group", b"root:x:0:\nmid:x:1500:\n")
    ids = (0, 1500) + (HIGH if "high" in content else ())
    for i in ids:
        out.add("./data/u%d" % i, b"of %d\n" % i, owner=i, mode=0o640)
    if "high" in content:
        out.directory("./data/dir", owner=60000, mode=0o750)
        out.add("./data/dir/file", b"deep\n", owner=60000)
        with open("/usr/bin/catatonit", "rb") as f:     # static, and runs a program with the rights it was given
            out.add("./data/suid", f.read(), owner=60000, mode=0o4755)
    if "symlink" in content:
        out.add("./data/link", owner=60000, kind=tarfile.SYMTYPE, link="u60000", mode=0o777)
    if "fifo" in content:
        out.add("./data/fifo", owner=60000, kind=tarfile.FIFOTYPE)
    out.tar.close()


def foreign(out):
    with open("/usr/bin/catatonit", "rb") as f:
        program = f.read()
    out.directory("./owned")
    for uid, gid in FOREIGN:
        where = "./owned/%d_%d" % (uid, gid)
        who = {"owner": uid, "group": gid}
        out.add(where, kind=tarfile.DIRTYPE, mode=0o2750, **who)
        out.add(where + "/file", b"of %d\n" % uid, mode=0o640, **who)
        out.add(where + "/again", kind=tarfile.LNKTYPE, link=where + "/file", mode=0o640, **who)
        out.add(where + "/link", kind=tarfile.SYMTYPE, link="file", mode=0o777, **who)
        out.add(where + "/dangling", kind=tarfile.SYMTYPE, link="/etc/shadow", mode=0o777, **who)
        out.add(where + "/fifo", kind=tarfile.FIFOTYPE, mode=0o600, **who)
        out.add(where + "/suid", program, mode=0o6755, **who)


def docker(path, content):
    layer = path + ".layer"
    archive(layer, [])
    out = Archive.__new__(Archive)
    out.tar, out.records = tarfile.open(layer, "a", format=tarfile.PAX_FORMAT), False
    if "foreign" in content:
        foreign(out)
    for n in range(sum(int(word) for word in content if word.isdigit())):
        if n % 50 == 0:
            out.directory("./many/%d" % (n // 50))
        out.add("./many/%d/f%d" % (n // 50, n), b"%d\n" % n * 100)
    out.tar.close()
    with open(layer, "rb") as f:
        data = f.read()
    os.unlink(layer)
    config = {"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
              "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(data).hexdigest()]}}
    name = os.path.basename(path).split(".")[0]
    with tarfile.open(path, "w") as tar:
        for file, text in (("layer.tar", data), ("config.json", json.dumps(config).encode()), ("manifest.json", json.dumps([
                {"Config": "config.json", "RepoTags": ["localhost/%s:latest" % name], "Layers": ["layer.tar"]}]).encode())):
            entry = tarfile.TarInfo(file)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))


def header(entry):
    kind = {tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "link", tarfile.FIFOTYPE: "fifo", tarfile.LNKTYPE: "again"}.get(entry.type, "file")
    attributes = sorted(k.split("xattr.")[1] for k in entry.pax_headers if "xattr." in k)
    mode = "" if kind == "link" else " %o" % (entry.mode & 0o7777)
    return " ".join(["/" + entry.name.lstrip("./").rstrip("/"), kind + mode, "%d:%d" % (entry.uid, entry.gid)] +
                    ([entry.linkname.rsplit("/")[-1]] if kind == "link" else []) + attributes)


def headers(tar):
    # Which of two names of a file is the second one is up to the order in which they are met.
    lines = (header(entry).replace("again 640", "file 640") for entry in tar if "owned/" in entry.name)
    print("\n".join(sorted(lines)))


def oci(out, base, count):
    blobs = os.path.join(out, "blobs", "sha256")
    os.makedirs(blobs)

    def blob(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(blobs, digest), "wb") as f:
            f.write(data)
        return {"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + digest, "size": len(data)}

    def one_file(number):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            entry = tarfile.TarInfo("layer%d" % number)
            entry.size = 2
            tar.addfile(entry, io.BytesIO(b"x\n"))
        return data.getvalue()

    with open(base, "rb") as f:
        layers = [blob(f.read(), "layer.v1.tar")]
    layers += [blob(one_file(i), "layer.v1.tar") for i in range(count)]
    config = {"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]},
              "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}}
    manifest = {"schemaVersion": 2, "config": blob(json.dumps(config).encode(), "config.v1+json"), "layers": layers}
    top = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    top["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    for name, value in (("index.json", {"schemaVersion": 2, "manifests": [top]}),
                        ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
        with open(os.path.join(out, name), "w") as f:
            json.dump(value, f)


def owners(path):
    with tarfile.open(path) as saved:
        for number, layer in enumerate(json.load(saved.extractfile("manifest.json"))[0]["Layers"]):
            with tarfile.open(fileobj=saved.extractfile(layer)) as tar:
                for entry in tar:
                    attributes = [k.split("xattr.")[1] for k in entry.pax_headers if "xattr." in k]
                    print(number, "/" + entry.name.lstrip("./"), "%d:%d" % (entry.uid, entry.gid),
                          "%o" % entry.mode, *attributes)


def main(args):
    if len(args) >= 2 and args[0] == "archive" and set(args[2:]) <= {"high", "symlink", "fifo", "records"}:
        archive(args[1], args[2:])
    elif len(args) == 2 and args[0] == "owners":
        owners(args[1])
    elif len(args) >= 2 and args[0] == "docker" and all(w == "foreign" or w.isdigit() for w in args[2:]):
        docker(args[1], args[2:])
    elif len(args) == 3 and args[0] == "headers":
        with tarfile.open(args[1]) as saved:
            layers = json.load(saved.extractfile("manifest.json"))[0]["Layers"]
            with tarfile.open(fileobj=saved.extractfile(layers[int(args[2])])) as tar:
                headers(tar)
    elif len(args) == 2 and args[0] == "exported":
        with tarfile.open(args[1]) as tar:
            headers(tar)
    elif len(args) == 4 and args[0] == "oci":
        oci(args[1], args[2], int(args[3]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
