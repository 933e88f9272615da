# An SD card with Nix's database already in its root: nixosConfigurations.sd-image of the flake,
# built as config.system.build.sdImage.
{
  config,
  modulesPath,
  ...
}:

{
  imports = [ "${modulesPath}/installer/sd-card/sd-image-aarch64.nix" ];

  ext4writer.sdImage = {
    database = true;
    systemProfile = config.system.build.toplevel;
    freeSpace = "64M";
    extraArgs = [ "--verify" ];
  };

  system.stateVersion = "25.11";
}
