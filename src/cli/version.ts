/** What `atoll --version` says: package.json's, which the single file does not carry; a test holds them together. */
export const VERSION = "0.1.0";
