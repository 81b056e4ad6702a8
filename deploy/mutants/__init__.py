"""Known bugs, one patch file each; `docs/HOWTO_TRY_A_PATCH.md` says what such a file may hold."""
