import { ownPackage } from './own-package.js';

/** This package's version. */
export const version: string = ownPackage.version;
