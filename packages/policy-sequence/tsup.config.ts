import { library } from '@kvsift/presets/tsup';

export default library();
