# A disk with an EFI system partition and an ext4 root: nixosConfigurations.repart of the flake,
# built as config.system.build.image.
{
  config,
  modulesPath,
  pkgs,
  ...
}:

{
  imports = [ "${modulesPath}/image/repart.nix" ];

  image.repart = {
    name = "nixos";
    partitions = {
      "10-esp" = {
        contents."/EFI/BOOT/BOOTX64.EFI".source =
          "${pkgs.systemd}/lib/systemd/boot/efi/systemd-bootx64.efi";
        repartConfig = {
          Type = "esp";
          Format = "vfat";
          SizeMinBytes = "96M";
        };
      };
      "20-root".repartConfig = {
        Type = "root";
        Label = "nixos";
        GrowFileSystem = true;
      };
    };
  };

  ext4writer.repart."20-root" = {
    storePaths = [ config.system.build.toplevel ];
    systemProfile = config.system.build.toplevel;
    volumeLabel = "nixos";
    database = true;
    registration = false;
    growTo = "1T";
  };

  boot.loader.grub.enable = false;
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
    autoResize = true;
  };
  system.stateVersion = "25.11";
}
