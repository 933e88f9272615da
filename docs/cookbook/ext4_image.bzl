"""A Bazel rule that builds an ext4 image from tar archives, such as those of rules_pkg.

    load("//tools:ext4_image.bzl", "ext4_image")

    ext4_image(
        name = "root",
        srcs = [":base_tar", ":app_tar"],
        targets = {":app_tar": "/srv/app"},
        options = ["--label", "root", "--free", "64M", "--owner", "0:0"],
    )

Later archives are layered over earlier ones. Equal archives give equal images, so remote caches work.
"""

def _ext4_image_impl(ctx):
    image = ctx.actions.declare_file(ctx.label.name + ".img")
    arguments = ctx.actions.args()
    arguments.add("build")
    arguments.add("--output", image)
    arguments.add("--quiet")
    arguments.add_all(ctx.attr.options)
    folders = {}
    for target, folder in ctx.attr.targets.items():
        for file in target.files.to_list():
            folders[file.path] = folder
    for file in ctx.files.srcs:
        folder = folders.get(file.path, "")
        arguments.add(file.path + ("::" + folder if folder else ""))
    ctx.actions.run(
        executable = ctx.executable.ext4writer,
        arguments = [arguments],
        inputs = ctx.files.srcs,
        outputs = [image],
        mnemonic = "Ext4Image",
        progress_message = "Building the ext4 image %{output}",
    )
    return [DefaultInfo(files = depset([image]))]

ext4_image = rule(
    implementation = _ext4_image_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = True, doc = "Tar archives."),
        "targets": attr.label_keyed_string_dict(
            allow_files = True,
            doc = "The folder of the image for an archive, if not the root.",
        ),
        "options": attr.string_list(doc = "Further options of ext4writer build."),
        "ext4writer": attr.label(
            default = "@pip//ext4writer:bin",
            executable = True,
            cfg = "exec",
            doc = "The command, such as a py_console_script_binary of it.",
        ),
    },
)
