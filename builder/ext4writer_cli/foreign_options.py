"""Options of other programs, and what to use here instead.

A row is (answer, options). An answer that begins with a dash is an option of ext4writer; any other
explains why there is none.
"""

from __future__ import annotations

_NO_FORCE = "a file is always replaced when the new image is complete; no force is needed"
_NO_COMPRESSION = "ext4 has no compression; an --output that ends in .zst is compressed as a file"
_DECOMPRESSED = "the compression of an archive is detected from its first bytes"
_REPORTED = "the report has all details; --json prints it for programs"
_ALL_KEPT = "modes, owners, times, links, devices and attributes are kept by default"
_ALL_NEW = "every image is made from scratch; nothing in an existing one is compared or kept"
_NO_NETWORK = "nothing is downloaded here; give files that another program downloaded"
_NO_INSTALL = "no packages are installed here; give the folder that 'mkosi --format=directory' made"
_FOLDER = "SOURCE::/FOLDER puts a source into a folder of the image"
_OWNER = "--owner UID:GID, two numbers"
_NO_ARCHIVE = "no archive is written here; 'ext4writer extract' writes one from an image"
_GLOBS = "patterns are globs that match entire names or paths; docs/rules.md describes them"
_LISTED = "--exclude GLOB and --include GLOB for each line"
_LINKS_KEPT = "symbolic and hard links stay links; give the target of a link as another SOURCE"
_HOLES = "--hole-size SIZE sets which runs of zeros become holes"
_NO_TUNING = "memory and queues need no settings; --workers N sets the number of processes"
_ONE_IMAGE = "an image is one file system; scripts in docs/cookbook combine several into a disk"
_NEVER_CHANGED = "sources are only read"

ROWS: tuple[tuple[str, str], ...] = (
    # mke2fs(8)
    ("give the folder or archive as SOURCE", "-d --tar --tarball --rootdir --root"),
    ("usage types set --inodes, --inode-ratio and --block-size; lists are --include GLOB", "-T"),
    ("there is a journal by default; --journal sets its size, or none", "-j"),
    ("--journal SIZE, or --journal none; --journal-device FILE for an external one", "-J"),
    ("its settings are separate options, such as --hash-seed, --encoding and --grow-to", "-E"),
    ("devices are not searched for bad blocks; --bad-blocks FILE lists them", "-c"),
    ("--dry-run, or the command plan", "-n"),
    ("--revision 0 or 1; folders are always read recursively", "-r"),
    ("superblocks are never written alone; --hole-size SIZE sets what becomes a hole", "-S"),
    ("nothing is discarded", "-K --discard"),
    ("there is no undo file, and archives are decompressed automatically", "-z"),
    ("--epoch SECONDS", "--mkfs-time -mkfs-time -fstime -repro-time --timestamp --faketime"),
    # mksquashfs(1), mkfs.erofs(1)
    ("--owner 0:0", "-all-root --all-root -root-owned --squash-uids"),
    ("--owner UID:GID", "--force-uid --force-gid -force-uid -force-gid"),
    ("--uid-map 0:OFFSET:65536", "-uid-offset --uid-offset"),
    ("--gid-map 0:OFFSET:65536", "-gid-offset --gid-offset"),
    ("--uid-map 0:OFFSET:65536 --gid-map 0:OFFSET:65536", "-uid-gid-offset"),
    ("--all-times SECONDS", "-all-time --all-time --ignore-mtime --mtime"),
    ("--epoch SECONDS, to which later times are clamped", "--clamp-mtime"),
    ("--set '/: mode=755'", "-root-mode"),
    ("--set '/: mtime=SECONDS'", "-root-time"),
    ("--root-owner UID:GID", "-root-uid -root-gid"),
    (_LISTED, "-ef -X --exclude-from --include-from --exclude-ignore --exclude-ignore-recursive"),
    ("--set or --device-table", "-p -pd -pseudo-override -action -log-action"),
    ("--device-table FILE", "-pf --devtable"),
    ("--exclude GLOB", "--exclude-path --exclude-regex --filter --cvs-exclude --exclude-vcs"),
    (
        "--exclude GLOB, once for each pattern that this option implies",
        (
            "--exclude-backups --exclude-caches --exclude-caches-all --exclude-caches-under "
            "--exclude-tag --exclude-tag-all --exclude-tag-under --exclude-vcs-ignores"
        ),
    ),
    (
        _NO_COMPRESSION,
        (
            "-comp -no-compression -noD -noF -noI -noId -noX -Xbcj -Xcompression-level "
            "-Xdict-size -Xhc -Xstrategy -Xwindow-size --compress-hints --max-extent-bytes "
            "--random-pclusterblks --random-algorithms --compress-output"
        ),
    ),
    (
        "ext4 has no fragments; -O inline_data keeps small files in their inodes",
        "-no-fragments -always-use-fragments -tailends -no-tailends --all-fragments",
    ),
    ("--align SIZE", "-nopad --fsalignblks"),
    ("images are always written anew", "-noappend --append --clean"),
    ("--dedupe blocks", "-no-duplicates -duplicate-checks --chunksize"),
    (_LINKS_KEPT, "-no-hardlinks --hard-dereference --check-links --dereference --copy-links"),
    (_HOLES, "-no-sparse --sparse --sparse-version --hole-detection --allow-holes --fill-value"),
    ("ext4 inodes always have the numbers that NFS needs", "-exports -no-exports"),
    ("every error is fatal; --strict also fails if anything is not kept", "-exit-on-error"),
    (_NO_FORCE, "-F --force -force"),
    ("images are the same each time", "-reproducible -repro"),
    ("an archive ends at its end mark; the report mentions more", "-ignore-zeros --ignore-zeros"),
    ("an image of that name is replaced; give another --output", "--no-clobber"),
    (
        _REPORTED,
        "-v -log -info -percentage --verbose --totals --stats --itemize-changes --info -debug",
    ),
    ("--quiet; progress is shown on a terminal only", "-no-progress --progress --checkpoint"),
    ("--quiet", "--quiet-progress --no-motd"),
    (_FOLDER, "-keep-as-directory -root-becomes --directory --relative --parents --product-out"),
    (
        _NO_TUNING,
        (
            "-mem -mem-percent -read-queue -write-queue -throttle -limit --bwlimit "
            "--blocking-factor --record-size --read-full-records --whole-file --buffer-size"
        ),
    ),
    ("--workers N", "-processors --jobs --threads"),
    ("a failure leaves an existing image intact", "-recovery-path -no-recovery -overcommit"),
    (_GLOBS, "-regex -wildcards --wildcards --no-wildcards --anchored --no-anchored"),
    (_GLOBS, "--ignore-case --no-ignore-case --wildcards-match-slash --no-wildcards-match-slash"),
    ("names are always sorted; --policy chooses where files go", "-sort -sort-file --sort"),
    ("tar archives are detected automatically; give one as SOURCE", "-tar -cpiostyle -tarstyle"),
    (_DECOMPRESSED, "--gzip --gunzip --ungzip --bzip2 --xz --unxz --zstd --auto-compress"),
    (_DECOMPRESSED, "--no-auto-compress --use-compress-program -Z"),
    (
        "archives may use gzip, bzip2, xz or zstd; decompress others and pipe the output to '-'",
        "--lzip --lzma --lzop --uncompress --unlzma",
    ),
    ("--no-xattrs", "-no-xattrs --no-acls --no-selinux"),
    ("extended attributes are read by default", "-xattrs --xattrs --fake-super"),
    ("--set '**: -xattr:NAME' removes one", "-xattrs-exclude -xattrs-include --xattrs-exclude"),
    ("--set '**: -xattr:NAME' removes one", "--xattrs-include --xattr-prefix --ovlfs-strip"),
    ("--set 'GLOB: xattr:NAME=VALUE'", "-xattrs-add --root-xattr-isize --xattr-inode-digest"),
    ("--set, --owner and --rules set what such a file contains", "--fs-config-file -config"),
    ("file content is always in the image itself", "--blobdev --vmdk-desc --s3 --dsunit --MZ"),
    ("--chunks FILE, or --bmap FILE", "--block-list-file --block-map"),
    (
        "later sources overlay earlier ones",
        "-A --concatenate --catenate --aufs --incremental --listed-incremental",
    ),
    ("oci:LAYOUT[:REF]", "--oci"),
    # tar(1)
    ("give the archive as SOURCE", "-f --file --extract --get -xf -xzf"),
    (_NO_ARCHIVE, "--create -cf -czf --multi-volume --volno-file --new-volume-script"),
    (_NO_ARCHIVE, "--info-script --tape-length --old-archive --portability --posix"),
    (_NO_ARCHIVE, "--pax-option"),
    ("'ext4writer cat IMAGE PATH' prints a file", "--to-command --to-stdout"),
    (
        "'ext4writer ls IMAGE' lists an image; tar -tf lists an archive",
        (
            "--list -tf -tvf --full-time --utc --block-number --index-file --show-defaults "
            "--show-omitted-dirs --show-snapshot-field-ranges --show-stored-names "
            "--show-transformed-names --test-label"
        ),
    ),
    ("'ext4writer diff A B' compares two images", "--compare --diff"),
    ("'ext4writer check IMAGE' checks an image", "-W --verify"),
    ("give a folder that holds it as a further SOURCE", "--add-file"),
    ("--include GLOB for each line, after --exclude '*'", "--files-from --no-recursion"),
    ("--include GLOB for each line, after --exclude '*'", "--recursion --starting-file --dirs"),
    (
        "--exclude GLOB leaves out entries by name; none are selected by time or size",
        "--newer --newer-mtime --after-date --max-size --min-size --occurrence",
    ),
    (
        "of two entries with the same path the later one wins; --strict refuses to replace one",
        (
            "--overwrite --overwrite-dir --no-overwrite-dir --keep-old-files --skip-old-files -k "
            "--keep-newer-files --unlink-first --recursive-unlink --remove-destination"
        ),
    ),
    (_ALL_NEW, "--update -u --delete --ignore-existing --existing --inplace --checksum"),
    (_ALL_NEW, "--size-only --ignore-times --append-verify --delete-excluded --delete-after"),
    (_ALL_NEW, "--delete-before --delete-during --partial --partial-dir --backup --suffix"),
    (_ALL_NEW, "--backup-dir --link-dest --copy-dest --compare-dest --fuzzy -y"),
    ("give the image as the first SOURCE", "--starting-image"),
    ("--one-file-system", "-one-file-system-x --check-device --no-check-device"),
    ("--one-file-system; an archive is given as SOURCE", "-x"),
    ("owners are always numeric", "--numeric-owner --numeric-ids"),
    ("--uid-map FROM:TO:COUNT", "--owner-map --usermap"),
    ("--gid-map FROM:TO:COUNT", "--group-map --groupmap"),
    (_OWNER, "--group --chown"),
    ("--owner 0:0", "--no-same-owner"),
    ("--mode-mask OCTAL, or --set '**: mode=...'", "--mode --no-same-permissions"),
    ("--set '**: mode=...'", "--chmod --executability"),
    (
        _ALL_KEPT,
        (
            "--archive -a --preserve --preserve-permissions --same-owner --same-permissions "
            "--recursive -R --links --hard-links -H --perms --times --devices --specials --acls "
            "--no-dereference --attributes-only --copy-contents --same-order --preserve-order "
            "--delay-directory-restore --no-delay-directory-restore --preserve-mtime "
            "--no-preserve --copy-unsafe-links --safe-links --keep-dirlinks --copy-dirlinks "
            "--munge-links"
        ),
    ),
    ("--keep-times", "--atimes --crtimes --atime-preserve"),
    ("times come from the source; --all-times SECONDS sets them", "--touch --omit-dir-times"),
    ("labels are read by default; --file-contexts sets them", "--selinux --context"),
    ("SOURCE::/FOLDER, or --strip-components N", "--transform --xform --one-top-level"),
    ("leading slashes in an archive are ignored", "--absolute-names"),
    ("leading slashes in an archive are ignored; for genext2fs -P, write --mode-mask 7700", "-P"),
    (
        "names are bytes, and are used unchanged",
        (
            "--null --no-null --unquote --no-unquote --quoting-style --quote-chars "
            "--no-quote-chars --verbatim-files-from --no-verbatim-files-from --from0 -0 --iconv "
            "--protect-args"
        ),
    ),
    ("every error is fatal", "--ignore-failed-read --ignore-command-error"),
    ("every error is fatal", "--no-ignore-command-error --ignore-errors"),
    ("the report names what is not kept; --strict refuses it", "--warning --restrict"),
    (
        "nothing asks for confirmation; an existing image stays until the new one is complete",
        "-w --interactive --confirmation --checkpoint-action",
    ),
    (
        "an archive is a file, or '-' for standard input; other hosts are not contacted",
        "--force-local --rmt-command --rsh-command --rsh --seek --no-seek",
    ),
    ("--help", "--usage"),
    ("'ext4writer --version'; --label names a file system", "--version -V -version"),
    # cp(1), rsync(1)
    (_LINKS_KEPT, "--link --symbolic-link --strip-trailing-slashes"),
    ("blocks are shared by default where the host's file system can do so", "--reflink"),
    ("--output FILE", "--target-directory --no-target-directory"),
    ("empty folders are kept; --exclude GLOB leaves them out", "--prune-empty-dirs"),
    (_NEVER_CHANGED, "--remove-files --remove-source-files --super"),
    (_NO_NETWORK, "-4 -6 --rsync-path --port --password-file --timeout --contimeout --daemon"),
    # genext2fs(8), make_ext4fs, mkfs.btrfs(8)
    ("-b, --block-size", "-B"),
    ("--size SIZE", "--size-in-blocks"),
    ("--owner 0:0 --mode-mask 7700", "--squash"),
    ("--mode-mask 7700", "--squash-perms"),
    ("--inodes N", "--number-of-inodes"),
    ("--inode-ratio BYTES", "--bytes-per-inode"),
    ("--reserved-percent PERCENT", "--reserved-percentage"),
    ("--label LABEL", "--volume-label"),
    ("--uuid UUID", "--volume-id"),
    ("--journal none", "--no-journal"),
    ("--zstd-level N", "--compress-level --level"),
    ("an --output that ends in .zst is compressed", "--compress"),
    ("an --output that ends in .simg is an Android sparse image; links stay links", "-s"),
    # mkosi(1)
    (
        _NO_INSTALL,
        (
            "--distribution --release --mirror --repositories --package --packages "
            "--build-packages --with-network --cache-directory --package-cache-dir --build-script "
            "--postinst-script --finalize-script --prepare-script --tools-tree "
            "--clean-package-metadata --remove-packages --with-docs --with-recommends "
            "--root-password --root-shell --hostname --locale --timezone --keymap --autologin "
            "--ssh --image-id --image-version"
        ),
    ),
    (
        "give the folder as a further SOURCE; later ones overlay earlier ones",
        "--extra-tree --skeleton-tree --base-tree --build-sources --package-manager-tree",
    ),
    ("--exclude GLOB", "--remove-files-from"),
    ("--uuid UUID and --hash-seed UUID", "--seed"),
    ("--platform OS/ARCH", "--architecture"),
    (_ONE_IMAGE, "--bootable --bootloader --repart-dir --repart-directory --split-artifacts"),
    (_ONE_IMAGE, "--sector-size --kernel-command-line --secure-boot --unified-kernel-images"),
)
