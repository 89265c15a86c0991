#!/bin/bash
# Real programs on the mount and on ext4: a C build, git, tar, cp -a, rsync -a, sqlite with WAL, dpkg. The same story is
# told in both places under the same path; what the programs print and the trees they leave must be equal.
# usage: 60-programs.sh BINARY
. "$(dirname "$0")/lib.sh"; world_enter "$@"

DISK=$WORLD/disk LOWER=$WORLD/lower UPPER=$WORLD/upper WORK=$WORLD/work MERGED=$WORLD/merged HERE=$WORLD/here
OUT=$WORLD/out DEBS=$WORLD/debs
mkdir "$DISK" "$LOWER" "$UPPER" "$WORK" "$MERGED" "$HERE" "$OUT" "$DEBS"
export LC_ALL=C.UTF-8 TZ=UTC HOME=$WORLD/tmp GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='2020-01-01T00:00:00Z'
export GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
PACKAGES="hello tree pv bc time jq patch diffstat dos2unix unzip zip colordiff figlet rename datamash moreutils cowsay"

# --- what is compared -------------------------------------------------------------------------------------------

# Name, kind, mode, owner, links, size, target, modification time, content, xattrs, ACLs of everything below the current
# directory. Not compared: the link count of directories (1 in an overlay), times of this run (but that they are), and
# the content of git's index and of databases (which hold times and inode numbers; the stories read them back).
listing() {
    local object='%P %y %m %U:%G'
    find . -mindepth 1 \( -type d -printf "$object" -o -printf "$object %n %l" \) \
        \( -newer "$WORLD/start" -printf ' now\n' -o -printf ' %TY-%Tm-%Td %TT\n' \) | sort
    find . -type f -not -path '*/.git/*index' -not -name '*.db' -exec sha256sum {} + | sort -k2
    find . -mindepth 1 -not -type l -print0 | sort -z | xargs -0r getfacl -n --absolute-names 2>/dev/null
    find . -mindepth 1 -print0 | sort -z | xargs -0r getfattr -h -d -m - --absolute-names 2>/dev/null
}

tell() { # NAME DIRECTORY PLACE: one story in one place; leaves output, exit code and listing
    local rc=0
    mount --bind "$2" "$HERE"
    (cd "$HERE" && set -e && "story_$1") >"$OUT/$1.$3.out" 2>&1 || rc=$?
    echo "exit $rc" >>"$OUT/$1.$3.out"
    (cd "$HERE/$1" && listing) >"$OUT/$1.$3.list" 2>&1
    umount "$HERE"
}

compare() { # NAME
    local difference
    tell "$1" "$DISK" disk
    tell "$1" "$MERGED" mount
    check "$1: succeeds on ext4" "exit 0" "$(tail -1 "$OUT/$1.disk.out")"
    difference=$(diff "$OUT/$1.disk.out" "$OUT/$1.mount.out")
    check "$1: prints the same" "" "$difference"
    difference=$(diff "$OUT/$1.disk.list" "$OUT/$1.mount.list")
    check "$1: leaves the same tree" "" "$difference"
    check_like "$1: the tree is not empty" . "$(cat "$OUT/$1.disk.list")"
    TOLD+=" $1"
}

compare_after_remount() { # every tree once more, from the layers alone
    local name
    fusermount3 -u "$MERGED"; until_true 10 no_daemons
    mount_it
    for name in $TOLD; do
        mount --bind "$MERGED" "$HERE"
        check "$name: the same tree after a remount" "" \
            "$( (cd "$HERE/$name" && listing) 2>&1 | diff "$OUT/$name.disk.list" -)"
        umount "$HERE"
    done
}

mount_it() { check_ok "mount" timeout 20 "$BIN" -o "lowerdir=$LOWER,upperdir=$UPPER,workdir=$WORK" "$MERGED"; }

# --- what the stories start from: the same files on ext4 and in the lower layer ----------------------------------

prepare_sources() {
    mkdir "$DISK"/{build,git,tar,cp,rsync,sqlite,dpkg}
    write_project "$DISK/build"
    write_tree "$DISK/tar/tree"
    write_tree "$DISK/cp/tree"
    write_tree "$DISK/rsync/tree"
    sqlite3 "$DISK/sqlite/old.db" 'create table t(x); insert into t values (1), (2);'
    mkdir -p "$DISK/dpkg/var/lib/dpkg"/{info,updates,triggers}
    touch "$DISK/dpkg/var/lib/dpkg/status"
    cp -a "$DISK/." "$LOWER"
}

# Everything that an archiver has to keep.
write_tree() { # DIRECTORY
    mkdir -p "$1"/{a/b/c,d,empty}
    local i id
    for i in $(seq 60); do seq "$((i * 37))" >"$1/a/b/f$i"; done
    for id in 0 1500 60000 65534 1000000; do echo "$id" >"$1/d/$id"; chown "$id:$((id / 2))" "$1/d/$id"; done
    cp /bin/true "$1/d/setuid"; chown 60000:1500 "$1/d/setuid"; chmod 6755 "$1/d/setuid"
    ln "$1/a/b/f1" "$1/d/hard"; ln -s ../a/b/f2 "$1/d/soft"; ln -s /nowhere "$1/d/dangling"; mkfifo "$1/d/fifo"
    chown -h 60000:60000 "$1/d/soft"; chown 60000:7 "$1/d/fifo"; chmod 3770 "$1/empty"
    truncate -s 3M "$1/sparse"; echo end >>"$1/sparse"
    setfattr -n user.note -v text "$1/a/b/f3"; setfattr -n user.note -v dir "$1/a"
    setfacl -m u:1500:rwx,g:60:r "$1/a/b/f4"; setfacl -d -m u:1500:rx "$1/a/b/c"
    echo name >"$1/a/ü and
newline"
    find "$1" -exec touch -h -d '2020-02-02 02:02:02 UTC' {} +
}

# Fifty translation units, a header, a static and a shared library, a program.
write_project() { # DIRECTORY
    local i dir=$1
    for i in $(seq 50); do
        printf '#include "all.h"\nint f%d(int x) { return x * %d + %s; }\n' "$i" "$i" \
            "$([ "$i" = 1 ] && echo 1 || echo "f$((i - 1))(x)")" >"$dir/f$i.c"
        echo "int f$i(int x);" >>"$dir/all.h"
    done
    printf '#include <stdio.h>\n#include "all.h"\nint main(void) { printf("%%d\\n", f50(1)); return 0; }\n' >"$dir/main.c"
    cat >"$dir/Makefile" <<'MAKE'
OBJECTS = $(patsubst %,f%.o,$(shell seq 50))
all: program libf.so
program: main.o libf.a ; $(CC) -o $@ $^
libf.a: $(OBJECTS) ; ar rcsD $@ $^
libf.so: $(OBJECTS) ; $(CC) -shared -o $@ $^
%.o: %.c all.h ; $(CC) -O1 -g -fPIC -c -o $@ $<
install: all ; install -d inst/bin inst/lib && install -m 4755 program inst/bin && install libf.so inst/lib
clean: ; rm -f *.o libf.a
MAKE
}

# --- the stories ------------------------------------------------------------------------------------------------

story_build() {
    cd build
    make -s -j4 install
    ./program; inst/bin/program
    make -s -q                      # nothing is older than what it was made from
    touch all.h; make -s -j2 all; ./program
    make -s clean
}

story_git() {
    cd git
    git init -q -b main repo; cd repo
    git config pack.threads 1; git config gc.auto 0
    cp -r "$HERE/tar/tree/a" src; chmod +x src/b/f7; ln -s src/b link
    git add .; git commit -qm first
    git mv src/b source; git rm -q source/f9; echo more >>source/f1; git commit -qam second
    git checkout -q -b side HEAD~1; echo side >src/side; git add .; git commit -qm side
    git checkout -q main; git merge -q -m merge side
    git status --short; git log --format='%H %s'; git fsck --strict
    git gc -q --prune=now; git count-objects -v | grep -v size; git fsck --full --strict
    cd ..; git clone -q --no-local repo clone; cd clone; git log --format=%H; git status --short
    git worktree add -q ../worktree HEAD~1; git stash list
}

story_tar() {
    cd tar
    tar --sort=name --acls --xattrs --pax-option=delete=atime,delete=ctime -cf tree.tar tree; sha256sum tree.tar
    mkdir out; tar --acls --xattrs -xpf tree.tar -C out
    tar --acls --xattrs -df tree.tar -C out
    mkdir again; tar -C tree -cf - . | tar -xpf - -C again
    rm -r tree
}

story_cp() {
    cd cp
    cp -a tree copy; cp -a --sparse=always tree/sparse holes; cp --reflink=auto tree/a/b/f1 f1
    cp -al copy/a linked; mv tree moved; cp -a moved tree; mv copy/a copy/z; rm -r moved/a/b/c moved/d/fifo
    diff -r --no-dereference tree/a copy/z
    du -s --apparent-size tree copy | cut -f1
}

story_rsync() {
    cd rsync
    rsync -aHAX tree/ copy/
    rsync -aHAXin tree/ copy/        # nothing is left to do
    echo changed >>tree/a/b/f5; rm tree/a/b/f6; chown 7:7 tree/a/b/f8; touch -d '2020-02-02' tree/a/b tree/a/b/f5
    rsync -aHAX --delete --inplace -i tree/ copy/ | sort
    rsync -aHAX --backup --backup-dir=../old -i --exclude='f1*' tree/a/ copy/a/ | sort
}

story_sqlite() {
    cd sqlite
    sqlite3 old.db 'pragma journal_mode=wal; insert into t select x + 10 from t; select sum(x) from t;'
    sqlite3 new.db 'pragma journal_mode=wal; create table n(i integer primary key, s text);
        with recursive c(i) as (values(1) union all select i + 1 from c where i < 20000)
        insert into n select i, hex(i * 7919) from c; create index s on n(s); delete from n where i % 3 = 0; vacuum;'
    local i pids=()
    for i in 1 2 3; do   # writers beside each other, by the locks and the shared-memory map of the WAL
        (for _ in $(seq 25); do sqlite3 -cmd '.timeout 20000' new.db "insert into n(s) values ('w$i')"; done) & pids+=($!)
    done
    wait "${pids[@]}"
    sqlite3 new.db 'select s, count(*) from n where s like "w%" group by s order by s; pragma integrity_check;'
    sqlite3 new.db 'select i % 1000, s from n where i <= 20000' | sha256sum
    sqlite3 old.db 'pragma journal_mode=delete; select * from t; pragma integrity_check;'
}

story_dpkg() {
    dpkg --root="$HERE/dpkg" --force-depends --log=/dev/null -i "$DEBS"/*.deb 2>&1 | grep -v 'Reading database'
    cd dpkg
    dpkg --root="$HERE/dpkg" -l | tail -n +6 | awk '{ print $1, $2, $3 }'
    dpkg --root="$HERE/dpkg" --verify
    dpkg --root="$HERE/dpkg" --force-depends --log=/dev/null -r "$(dpkg-deb -f "$(ls "$DEBS"/*.deb | head -1)" Package)" \
        2>&1 | grep -v 'Reading database'
}

# Ten packages without maintainer scripts: those would want a whole system around them.
fetch_packages() {
    local name deb
    mkdir "$WORLD/download"; cd "$WORLD/download" || exit
    for name in $PACKAGES; do
        [ "$(ls "$DEBS" | wc -l)" -lt 10 ] || break
        deb=$(ls /var/cache/apt/archives/"$name"_*.deb 2>/dev/null | tail -1)
        [ -n "$deb" ] || { timeout 60 apt-get -q download "$name" >"$OUT/apt" 2>&1; deb=$(ls "$name"_*.deb 2>/dev/null); }
        [ -n "$deb" ] || continue
        if ! dpkg-deb --ctrl-tarfile "$deb" | tar -t | grep -qE '/(pre|post)(inst|rm)$'; then cp "$deb" "$DEBS"; fi
    done
    cd - >/dev/null || exit
}

prepare_sources
touch "$WORLD/start"
mount_it
TOLD=
for name in build git sqlite; do
    tool=${name/build/make}; tool=${tool/sqlite/sqlite3}
    if command -v "$tool" >/dev/null; then compare "$name"; else skip "$name" "$tool is not installed"; fi
done
compare tar
compare cp
if command -v rsync >/dev/null; then compare rsync; else skip rsync "rsync is not installed"; fi
fetch_packages
if [ "$(ls "$DEBS" | wc -l)" = 10 ]; then
    note "packages: $(ls "$DEBS" | tr '\n' ' ')"
    compare dpkg
else
    skip dpkg "$(ls "$DEBS" | wc -l) of 10 packages could be fetched: $(tail -1 "$OUT/apt")"
fi
compare_after_remount
check_ok "unmount" fusermount3 -u "$MERGED"
until_true 10 no_daemons || fail "the daemon ends" "$(daemons)"
world_leave
