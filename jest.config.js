/** @type {import('jest').Config} */
const config = {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/{libs,services,agent,cli,lab,test}/**/*.test.ts'],
  transform: {
    '^.+\\.(ts|mts|js|mjs)$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
        module: { type: 'commonjs' },
        sourceMaps: 'inline',
      },
    ],
  },
  // These publish ES modules only, which Jest's CommonJS loader can't read untransformed.
  transformIgnorePatterns: ['/node_modules/(?!(cookie|redfish-client|@peculiar|selfsigned)/)'],
  moduleNameMapper: { '^redfish-client$': '<rootDir>/node_modules/redfish-client/dist/index.mjs' },
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  globalSetup: '<rootDir>/test/globalSetup.ts',
  testTimeout: 20_000,
};

export default config;
