// The dataset `software_inventory` and the headers of the file that fills it, as a tool's export would write them.

export const INVENTORY_DATASET = 'software_inventory';

type InventoryColumn = { header: string; column: string; required?: true; aliases: readonly string[] };

/** In the order of the file. The header finds its column by name or alias, without regard to case, spaces, "_" and "-". */
export const INVENTORY_COLUMNS = [
  { header: 'Package Name', column: 'package_name', required: true, aliases: ['Package', 'Name'] },
  { header: 'Ver.', column: 'ver', aliases: ['Ver.', 'Version'] },
  { header: 'Licence', column: 'licence', aliases: ['License'] },
  { header: 'Install Path', column: 'install_path', required: true, aliases: ['Path', 'Location'] },
  { header: 'Depends On', column: 'depends_on', aliases: ['Dependencies'] },
  { header: 'Optional Deps', column: 'optional_deps', aliases: ['Optional Dependencies'] },
  { header: 'Peer Deps', column: 'peer_deps', aliases: ['Peer Dependencies'] },
  { header: 'Deprecated', column: 'deprecated', aliases: ['Deprecation Notice'] },
  { header: 'Dev Only', column: 'dev_only', aliases: ['Dev'] },
  { header: 'Optional', column: 'optional', aliases: ['Is Optional'] },
  { header: 'Directly Required', column: 'directly_required', aliases: ['Direct'] },
  { header: 'Install Script', column: 'install_script', aliases: ['Has Install Script'] },
  { header: 'Required Node', column: 'required_node', aliases: ['Engines'] },
  { header: 'Homepage', column: 'homepage', aliases: ['URL'] },
  { header: 'Vendor', column: 'vendor', aliases: ['Author'] },
  { header: 'Keywords', column: 'keywords', aliases: ['Tags'] },
] as const satisfies readonly InventoryColumn[];

type InventoryHeader = (typeof INVENTORY_COLUMNS)[number]['header'];

/** One line of the file, by header. */
export type InventoryRow = Record<InventoryHeader, string>;

/** The body of `PUT /v1/datasets/software_inventory`. Every value stays text: making sense of it is the flow's task. */
export function inventoryDataset(): unknown {
  return {
    columns: INVENTORY_COLUMNS.map((column) => ({
      name: column.column,
      type: 'text',
      aliases: column.aliases,
      ...('required' in column ? { required: true } : {}),
    })),
    key: ['install_path'],
  };
}
